"""What a reconstruction says of itself: the table of contents of a result folder (`report.json`).

Everybody who shows or sends results (worker, viewer, delivery, demo) reads this and nothing else.
Times are seconds, lengths mm (units of the assumed scale where `scale.known` is false); paths are relative to the
folder, with forward slashes.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

DISCLAIMER: Final = "For research and decision support; not for diagnosis alone."
"""Said on every page and in every result."""

NOT_RECOGNISED: Final = "Implants, casts and fractures may go unnoticed: look at the films."
"""Said with every reconstruction: the surface is that of an intact bone."""

SHAPE_ONLY: Final = "Shape only: nothing in the study says how large a pixel is, so no lengths in mm are claimed."
"""Said everywhere where a scale is missing."""


class Status(StrEnum):
    """How a reconstruction ended."""

    RECONSTRUCTED = "reconstructed"
    REFUSED = "refused"


class FileKind(StrEnum):
    """What a file of the result folder is for."""

    SURFACE_SEGMENTATION = "surface-segmentation"
    SECONDARY_CAPTURE = "secondary-capture"
    TURNTABLE = "turntable"
    KEY_RENDERING = "key-rendering"
    MEASUREMENT_PAGE = "measurement-page"
    MEASUREMENT_REPORT = "measurement-report"
    ENCAPSULATED_STL = "encapsulated-stl"
    KEY_OBJECTS = "key-objects"
    REFUSAL_REPORT = "refusal-report"
    REFUSAL_PICTURE = "refusal-picture"
    SURFACES_MANIFOLD_UNKNOWN = "surface-segmentation-manifold-unknown"
    PRESENTATION_STATE = "presentation-state"
    FILM_SEGMENTATION = "film-segmentation"
    REPORT_DOCUMENT = "report-document"
    TURNTABLE_FRAMES = "turntable-frames"
    ENCAPSULATED_OBJ = "encapsulated-obj"
    SCENE = "scene"
    SCENE_LOW_POLY = "scene-low-poly"
    MESH = "mesh"
    MESH_LOW_POLY = "mesh-low-poly"
    PRINT_PACK = "print-pack"
    POINT_CLOUD = "point-cloud"
    DEPTH_PICTURE = "depth-picture"
    DEPTH_ARRAY = "depth-array"
    NOVEL_VIEW = "novel-view"
    RADIOGRAPH = "radiograph"
    CONTOUR_PICTURE = "contour-picture"
    STAGE_PICTURE = "stage-picture"
    REPORT_PAGE = "report-page"
    REJECTION_NOTE = "rejection-note"
    """A DICOM instance that is no result: it goes where the results went that it rejects, and nowhere else."""

    @property
    def is_dicom(self) -> bool:
        """Whether the file is a DICOM instance, to be delivered to the PACS."""
        return self in DICOM_KINDS


DICOM_KINDS: Final = frozenset(
    {
        FileKind.SURFACE_SEGMENTATION,
        FileKind.SECONDARY_CAPTURE,
        FileKind.TURNTABLE,
        FileKind.KEY_RENDERING,
        FileKind.MEASUREMENT_PAGE,
        FileKind.MEASUREMENT_REPORT,
        FileKind.ENCAPSULATED_STL,
        FileKind.KEY_OBJECTS,
        FileKind.REFUSAL_REPORT,
        FileKind.REFUSAL_PICTURE,
        FileKind.SURFACES_MANIFOLD_UNKNOWN,
        FileKind.PRESENTATION_STATE,
        FileKind.FILM_SEGMENTATION,
        FileKind.REPORT_DOCUMENT,
        FileKind.TURNTABLE_FRAMES,
        FileKind.ENCAPSULATED_OBJ,
    }
)

OPTIONAL_KINDS: Final = frozenset(
    {
        FileKind.SURFACES_MANIFOLD_UNKNOWN,
        FileKind.PRESENTATION_STATE,
        FileKind.FILM_SEGMENTATION,
        FileKind.REPORT_DOCUMENT,
        FileKind.TURNTABLE_FRAMES,
        FileKind.ENCAPSULATED_OBJ,
    }
)
"""DICOM results that are made only where somebody is to get them."""


@dataclass(frozen=True, kw_only=True)
class ResultFile:
    """One file of the result folder.

    Attributes:
        path: Relative to the folder.
        kind: What it is for.
        media_type: `model/stl`, `application/dicom`, `image/png`, ...
        title: What a person would call it ("Right femur, STL").
        sop_class_uid: Of a DICOM instance.
        sop_instance_uid: Of a DICOM instance; derived from inputs, models and settings, so that a rerun repeats it.
        series_instance_uid: Of a DICOM instance.
        radiograph: Identifier of the radiograph that the picture shows, where it shows one.
    """

    path: str
    kind: FileKind
    media_type: str
    title: str
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    series_instance_uid: str | None = None
    radiograph: str | None = None


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """What one stage did.

    Attributes:
        name: `read`, `gate`, `enhance`, `perceive`, `calibrate`, `fit`, `assess`, `render`, `write`.
        seconds: Wall-clock time.
        summary: One sentence with the figures that matter.
        picture: Path of its picture, where it has one.
    """

    name: str
    seconds: float
    summary: str = ""
    picture: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScaleReport:
    """The scale in words and figures; see `pipeline.radiograph.Scale`."""

    known: bool
    relative_uncertainty: float
    provenance: str


@dataclass(frozen=True, kw_only=True)
class BoneContour:
    """One bone's outline on one radiograph.

    Attributes:
        bone: Name of its `SurfaceReport`.
        polygons: Closed polygons of (column, row) in source pixels.
        error_mm: Mean distance between this outline and the outline seen in the image (None: not measured).
    """

    bone: str
    polygons: tuple[tuple[tuple[float, float], ...], ...]
    error_mm: float | None


@dataclass(frozen=True, kw_only=True)
class RadiographReport:
    """One radiograph as it was used.

    Attributes:
        identifier: SOPInstanceUID or file name.
        view: `AP`, `PA`, `LATERAL`; as decided, not merely as tagged.
        side: In the letters of ImageLaterality (0020,0062): `L`, `R`, `B` where bones of both sides are shown, `U`
            where only bones without side are.
        picture: Windowed 8-bit PNG, full size.
        contours: The outline of every bone that was reconstructed from it.
        rows: Number of rows of the source.
        columns: Number of columns of the source.
        mm_per_pixel: Size of a source pixel in the plane of the bones, None without scale.
    """

    identifier: str
    view: str
    side: str
    picture: str
    contours: tuple[BoneContour, ...]
    rows: int
    columns: int
    mm_per_pixel: float | None


@dataclass(frozen=True, kw_only=True)
class SurfaceReport:
    """One reconstructed bone.

    Attributes:
        name: `hip_bone_R`, `sacrum`.
        bone: A `pipeline.surface.Bone`: `hip_bone`.
        side: `L`, `R`, or None for a bone that has no side (the sacrum).
        vertices: Number of vertices.
        triangles: Number of triangles.
        watertight: Whether the mesh is closed and consistently oriented.
        extent: Size of the bounding box along left, posterior, head.
        expected_error: Expected mean surface error over what the views show (one figure to trust it by), calibrated on
            people not in the model.
        inferred_fraction: Share of the surface that no radiograph shows.
        colour: In which it is shown among other bones, `#f0d492`; empty in reports of one bone by earlier versions.
    """

    name: str
    bone: str
    side: str | None
    vertices: int
    triangles: int
    watertight: bool
    extent: tuple[float, float, float]
    expected_error: float
    inferred_fraction: float
    colour: str = ""


class Unmeasured(StrEnum):
    """Why a measurement has no value."""

    NO_SCALE = "no-scale"
    NEEDS_LATERAL = "needs-lateral"
    NEEDS_FRONTAL = "needs-frontal"
    FRONTAL_ONLY = "frontal-only"
    NEEDS_BONES = "needs-bones"
    OUTSIDE_FIELD = "outside-field"


@dataclass(frozen=True, kw_only=True)
class NamedPoint:
    """A landmark on a reconstructed bone: its name and where it is, mm LPS in the frame of the bone's surface."""

    name: str
    position: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A measurement with its interval, or the reason why there is none.

    Attributes:
        name: The surgeon's own name ("Neck-shaft angle").
        bone: `femur_R`.
        unit: UCUM: `mm`, `deg`.
        value: None when the views do not support it.
        lower: Lower end of the 90 % interval.
        upper: Upper end of the 90 % interval.
        reason: Why there is no value, in words.
        unmeasured: Why there is no value.
        code: Of its definition, in docs/measurements.md; empty in reports by earlier versions.
        points: The landmarks that must be seen for it; none where there is no value, or no scale.
    """

    name: str
    bone: str
    unit: str
    value: float | None
    lower: float | None
    upper: float | None
    reason: str = ""
    unmeasured: Unmeasured | None = None
    code: str = ""
    points: tuple[NamedPoint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RefusalReport:
    """Why nothing was reconstructed: a `RefusalCode`, a sentence for a radiologist, and what can be done about it."""

    code: str
    sentence: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A model that took part."""

    name: str
    version: str
    licence: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole story of one reconstruction."""

    status: Status
    software_version: str
    scale: ScaleReport
    stages: tuple[StageReport, ...] = ()
    radiographs: tuple[RadiographReport, ...] = ()
    surfaces: tuple[SurfaceReport, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    warnings: tuple[str, ...] = ()
    models: tuple[ModelVersion, ...] = ()
    files: tuple[ResultFile, ...] = ()
    refusal: RefusalReport | None = None
    disclaimer: str = DISCLAIMER

    def to_json(self) -> str:
        """As written to `report.json`."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read `report.json` back.

        Raises:
            ValueError: The text is not such a report.
        """
        try:
            plain = json.loads(text)
            radiographs = [_with_contours(radiograph) for radiograph in plain.get("radiographs", ())]
            report: Report = _from_plain(cls, plain | {"radiographs": radiographs})
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a Bonecraft report: {error}") from error
        return report


def _with_contours(radiograph: dict[str, Any]) -> dict[str, Any]:
    """A radiograph with a contour per bone; in version 0.1 it had one, of the femur of its side."""
    if "contour" not in radiograph:
        return radiograph
    kept = {name: value for name, value in radiograph.items() if name not in ("contour", "contour_error_mm")}
    femur = {
        "bone": f"femur_{radiograph['side']}",
        "polygons": radiograph["contour"],
        "error_mm": radiograph["contour_error_mm"],
    }
    return kept | {"contours": [femur]}


def _from_plain(wanted: Any, value: Any) -> Any:  # noqa: ANN401 - generic over every field's type
    """`value` of plain JSON as the type that a dataclass field declares."""
    if value is None:
        return None
    if get_origin(wanted) in (Union, UnionType):
        return _from_plain(next(t for t in get_args(wanted) if t is not type(None)), value)
    if get_origin(wanted) is tuple:
        kinds = get_args(wanted)
        each = [kinds[0]] * len(value) if len(kinds) == 2 and kinds[1] is Ellipsis else kinds
        return tuple(_from_plain(kind, item) for kind, item in zip(each, value, strict=True))
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        hints = get_type_hints(wanted)
        return wanted(**{name: _from_plain(hints[name], item) for name, item in value.items()})
    return wanted(value) if isinstance(wanted, type) and issubclass(wanted, (StrEnum, float)) else value
