"""Which bones were reconstructed from which radiograph: reconstructions are told bone by bone, films show several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.radiograph import Side
from pipeline.reconstruct import AdmittedView, ReconstructedBone
from pipeline.stages.fit import FittedView
from pipeline.stages.overlay import ReprojectedContour, reproject
from pipeline.surface import SIDE_WORDS, BoneSurface

MOST_NAMED: Final = 2
"""More bones than this are counted in a title, not named."""

MOST_PROOF_TITLE: Final = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownBone:
    """A bone on one of its radiographs.

    Attributes:
        bone: The reconstruction.
        index: Of the radiograph among the bone's views.
    """

    bone: ReconstructedBone
    index: int

    @property
    def surface(self) -> BoneSurface:
        """Of the bone."""
        return self.bone.assessment.surface

    @property
    def fitted(self) -> FittedView:
        """How the radiograph shows it."""
        return self.bone.fit.views[self.index]

    @property
    def geometry(self) -> ProjectionGeometry:
        """How the radiograph was taken, in the frame of this bone's surface."""
        return self.fitted.geometry

    @property
    def contour_error_mm(self) -> float | None:
        """Mean distance of the reprojected from the seen outline; None where that means nothing."""
        error = self.bone.assessment.contour_error_mm[self.index]
        return error if self.bone.scale.known and np.isfinite(error) else None

    @property
    def mm_per_pixel(self) -> float | None:
        """Size of a source pixel where the bone lies after the fit, None without scale."""
        if not self.bone.scale.known:
            return None
        row, column = self.geometry.pixel_spacing
        centre: FloatArray = self.surface.vertices.mean(axis=0)
        return float(np.sqrt(row * column) / self.geometry.magnification(centre))

    def contour(self) -> ReprojectedContour:
        """The reconstruction's outline on the radiograph."""
        surface, seen = self.surface, self.fitted.observation.perception
        return reproject(surface.bone, surface.vertices, surface.triangles, self.geometry, seen)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownRadiograph:
    """A radiograph with every bone that was reconstructed from it.

    Attributes:
        number: Of the radiograph in the study, from 1.
        view: The radiograph.
        bones: At least one.
    """

    number: int
    view: AdmittedView
    bones: tuple[ShownBone, ...]

    @property
    def side(self) -> Side | None:
        """The side that all bones share, those without side apart; None where there is none."""
        sides = {shown.surface.side for shown in self.bones} - {None}
        return sides.pop() if len(sides) == 1 else None

    @property
    def laterality(self) -> str:
        """In the letters of ImageLaterality (0020,0062): `L`, `R`, `B` for both, `U` for the middle."""
        if self.side is not None:
            return str(self.side)
        return "B" if any(shown.surface.side for shown in self.bones) else "U"

    @property
    def markers(self) -> tuple[str, ...]:
        """Letters of the sides that are shown, in the order in which they lie in the picture."""
        columns: dict[Side, list[float]] = {}
        for shown in self.bones:
            if shown.surface.side is not None:
                centre = shown.geometry.project(shown.surface.vertices.mean(axis=0)[None])
                columns.setdefault(shown.surface.side, []).append(float(centre[0, 0]))
        return tuple(map(str, sorted(columns, key=lambda side: np.mean(columns[side]))))

    @property
    def name(self) -> str:
        """File-name friendly: `1_AP_R`, `1_AP`."""
        return "_".join(filter(None, (str(self.number), str(self.view.decision.view), str(self.side or ""))))

    @property
    def bones_title(self) -> str:
        """`Right femur`, `Right femur, right hip bone`, `5 bones`, `4 bones (right)`."""
        if len(self.bones) <= MOST_NAMED:
            return ", ".join(shown.surface.title for shown in self.bones).capitalize()
        side = f" ({SIDE_WORDS[self.side]})" if self.side else ""
        return f"{len(self.bones)} bones{side}"

    @property
    def title(self) -> str:
        """`Right femur, AP`."""
        return f"{self.bones_title}, {self.view.decision.view}"

    @property
    def proof_title(self) -> str:
        """`Right femur on AP`, as long as a list in a PACS shows it (PS3.5 6.2, LO)."""
        return f"{self.bones_title} on {self.view.decision.view}"[:MOST_PROOF_TITLE]

    @property
    def scale_known(self) -> bool:
        """Whether lengths on it are mm."""
        return all(shown.bone.scale.known for shown in self.bones)

    @property
    def mm_per_pixel(self) -> float | None:
        """Size of a source pixel in the plane of the bones: the mean of theirs."""
        sizes = [shown.mm_per_pixel for shown in self.bones]
        known = [size for size in sizes if size is not None]
        return float(np.mean(known)) if len(known) == len(sizes) else None


def shown_radiographs(bones: Sequence[ReconstructedBone]) -> tuple[ShownRadiograph, ...]:
    """The radiographs of all bones, each once, in the order in which the bones name them."""
    views: dict[str, AdmittedView] = {}
    on: dict[str, list[ShownBone]] = {}
    for bone in bones:
        for index, view in enumerate(bone.views):
            identifier = view.radiograph.identifier
            views.setdefault(identifier, view)
            on.setdefault(identifier, []).append(ShownBone(bone=bone, index=index))
    return tuple(
        ShownRadiograph(number=number, view=view, bones=tuple(on[identifier]))
        for number, (identifier, view) in enumerate(views.items(), start=1)
    )


def frames(bones: Sequence[ReconstructedBone]) -> tuple[tuple[ReconstructedBone, ...], ...]:
    """Bones that share a frame: each lies in that of its first radiograph, and patients move between radiographs."""
    found: dict[str, list[ReconstructedBone]] = {}
    for bone in bones:
        found.setdefault(bone.views[0].radiograph.identifier, []).append(bone)
    return tuple(tuple(members) for members in found.values())
