"""A reconstructed study for the tests of the writers and the check."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from pipeline.dicom_write import MeasuredBone, PlainPicture, ProofPicture, Turntable, WriteSettings, write_results
from pipeline.radiograph import Scale, ScaleProvenance, Side, View
from pipeline.results import FileKind, Measurement, ModelVersion, NamedPoint, ResultFile, Unmeasured
from pipeline.surface import BoneSurface
from tests.factories import make_bone, make_dx

SCALE = Scale(mm_per_pixel=0.174, relative_uncertainty=0.02, provenance=ScaleProvenance.SOURCE_DISTANCES)
NO_SCALE = Scale(mm_per_pixel=None, relative_uncertainty=0.25, provenance=ScaleProvenance.NONE)
MODELS = (ModelVersion(name="femur_shape", version="1", licence="CC BY-NC-SA 4.0", sha256="ab" * 32),)
CREATED = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def header_of(dataset: Dataset) -> Dataset:
    """The dataset as the pipeline gets it: written, read back, nothing decoded yet."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return dcmread(BytesIO(buffer.getvalue()), stop_before_pixels=True)


def two_views(**options: Any) -> dict[str, Dataset]:
    """The headers of an AP and a lateral radiograph by their identifiers; options as of `make_dx`."""
    return {d.SOPInstanceUID: header_of(d) for d in (make_dx(view=view, **options) for view in ("AP", "LATERAL"))}


def picture_of(source: Dataset, *, side: Side | None = Side.RIGHT, height: int = 31, width: int = 27) -> ProofPicture:
    """A colourful proof picture with an odd number of bytes."""
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    view = View.AP if source.ViewPosition == "AP" else View.LATERAL
    return ProofPicture(
        radiograph=source.SOPInstanceUID,
        pixels=pixels,
        title=f"Femur {side} on {view}",
        side=side,
        view=view,
        spacing_mm=(0.174, 0.174),
    )


def measured(surface: BoneSurface, radiographs: tuple[str, ...]) -> MeasuredBone:
    """A bone with one measurement of each kind: a length, an angle, and one that the views do not support."""
    shared: dict[str, Any] = {"bone": surface.name, "lower": None, "upper": None, "value": None}
    length = Measurement(
        name="Femoral length",
        code="FL",
        unit="mm",
        **(shared | {"value": 431.26, "lower": 428.9, "upper": 433.5}),
        points=(NamedPoint(name="head_centre", position=(1.5, -2.25, 3.0)),),
    )
    angle = Measurement(
        name="Neck-shaft angle", code="NSA", unit="deg", **(shared | {"value": 127.31, "lower": 124.0, "upper": 130.62})
    )
    version = Measurement(
        name="Anteversion",
        code="FAV",
        unit="deg",
        **shared,
        reason="A lateral view is needed.",
        unmeasured=Unmeasured.NEEDS_LATERAL,
    )
    return MeasuredBone(
        surface=surface, expected_error_mm=0.94, radiographs=radiographs, measurements=(length, angle, version)
    )


def plain_picture(title: str) -> PlainPicture:
    """A colourful picture with an odd number of bytes."""
    pixels = np.random.default_rng(len(title)).integers(0, 256, (13, 7, 3), dtype=np.uint8)
    return PlainPicture(pixels=pixels, title=title, side=Side.RIGHT)


def turntable() -> Turntable:
    """Four tiny colourful frames with an odd number of bytes each."""
    return Turntable(
        frames=np.random.default_rng(4).integers(0, 256, (4, 13, 7, 3), dtype=np.uint8), title="Right femur"
    )


def write(out: Path, *, sources: Mapping[str, Dataset] | None = None, **changes: Any) -> tuple[ResultFile, ...]:
    """`write_results` for a right femur seen from two sides, with changes; `shown_on`: the radiographs of the bones."""
    sources = two_views() if sources is None else sources
    arguments: dict[str, Any] = {
        "frames": ((make_bone(),),),
        "turntables": (turntable(),),
        "renderings": (plain_picture("Right femur, anterior"), plain_picture("Right femur, lateral")),
        "measurement_page": plain_picture("Measurements"),
        "pictures": tuple(picture_of(source) for source in sources.values()),
        "scale": SCALE,
        "models": MODELS,
        "sources": sources,
        "digests": ("cd" * 32, "ef" * 32),
        "out": out,
        "software_version": "0.1.0",
        "created": CREATED,
        "settings": WriteSettings(),
    }
    arguments |= changes
    shown_on = arguments.pop("shown_on", tuple(sources))
    arguments["frames"] = tuple(tuple(measured(bone, shown_on) for bone in bones) for bones in arguments["frames"])
    return write_results(**arguments)


def file_of(results: tuple[ResultFile, ...], out: Path, kind: FileKind) -> Path:
    """The path of the first result of a kind."""
    return out / next(result.path for result in results if result.kind is kind)


def surface_segmentation(out: Path, **changes: Any) -> Path:
    """The file of a Surface Segmentation."""
    return file_of(write(out, **changes), out, FileKind.SURFACE_SEGMENTATION)


def secondary_capture(out: Path, **changes: Any) -> Path:
    """The file of the first proof picture."""
    return file_of(write(out, **changes), out, FileKind.SECONDARY_CAPTURE)


def without_scale(**changes: Any) -> dict[str, Any]:
    """Arguments of a shape-only study."""
    return {"scale": NO_SCALE, **changes}


def changed_bone(change: Callable[[Any], dict[str, Any]], **options: Any) -> Any:
    """A bone with some fields replaced."""
    bone = make_bone(**options)
    return replace(bone, **change(bone))
