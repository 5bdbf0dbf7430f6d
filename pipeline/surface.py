"""A bone's surface in 3D."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray, read_only
from pipeline.radiograph import Side


class Bone(StrEnum):
    """Bones that can be reconstructed, by their anatomical names, file-name friendly."""

    FEMUR = "femur"
    HIP_BONE = "hip_bone"
    SACRUM = "sacrum"
    TIBIA = "tibia"
    FIBULA = "fibula"
    PATELLA = "patella"

    @property
    def is_paired(self) -> bool:
        """Whether a person has one on each side."""
        return self is not Bone.SACRUM

    @property
    def words(self) -> str:
        """What a person calls it: `hip bone`."""
        return self.value.replace("_", " ")


Name = tuple[Bone, Side | None]
"""A bone of a person; the sacrum has no side."""

SIDE_WORDS: Final = {Side.RIGHT: "right", Side.LEFT: "left"}


def bone_name(bone: Bone, side: Side | None) -> str:
    """File-name friendly: `hip_bone_R`, `sacrum`."""
    return f"{bone}_{side}" if side else str(bone)


def bone_title(bone: Bone, side: Side | None) -> str:
    """What a person calls the bone: `Right hip bone`, `Sacrum`."""
    return (f"{SIDE_WORDS[side]} {bone.words}" if side else bone.words).capitalize()


@dataclass(frozen=True, kw_only=True, eq=False)
class BoneSurface:
    """A closed triangle mesh of one bone in patient axes.

    Attributes:
        bone: Which bone.
        side: Which side of the patient; None for a bone that has none (the sacrum).
        vertices: (V, 3) LPS; mm when the study's scale is known, else units of the assumed scale (`Report.scale`).
        triangles: (T, 3) int32 indices into `vertices`, counter-clockwise seen from outside. Read-only.
        standard_deviation: (V,) mm, one standard deviation of each vertex's position along its normal.
        inferred: (V,) True where no radiograph shows the vertex: it is the model's inference. Read-only.

    Raises:
        ValueError: Numbers that do not belong together, a paired bone without a side, or a side of an unpaired one.
    """

    bone: Bone
    side: Side | None
    vertices: FloatArray
    triangles: npt.NDArray[np.int32]
    standard_deviation: FloatArray
    inferred: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.bone.is_paired != (self.side is not None):
            raise ValueError(f"a {self.bone.words} {'has' if self.bone.is_paired else 'has no'} side, got {self.side}")
        object.__setattr__(self, "vertices", read_only(self.vertices, shape=(None, 3)))
        count = len(self.vertices)
        object.__setattr__(self, "standard_deviation", read_only(self.standard_deviation, shape=(count,)))
        triangles, inferred = np.array(self.triangles, dtype=np.int32), np.array(self.inferred, dtype=np.bool_)
        if triangles.ndim != 2 or triangles.shape[1] != 3 or inferred.shape != (count,):
            raise ValueError("triangles must be (T, 3) and inferred (V,)")
        if triangles.size and (triangles.min() < 0 or triangles.max() >= count):
            raise ValueError("a triangle names a vertex that does not exist")
        triangles.flags.writeable = inferred.flags.writeable = False
        object.__setattr__(self, "triangles", triangles)
        object.__setattr__(self, "inferred", inferred)

    @property
    def name(self) -> str:
        """File-name friendly: `hip_bone_R`, `sacrum`."""
        return bone_name(self.bone, self.side)

    @property
    def title(self) -> str:
        """What a person calls it: `Right hip bone`, `Sacrum`."""
        return bone_title(self.bone, self.side)

    @property
    def extent(self) -> FloatArray:
        """(3,) size of the bounding box along left, posterior, head."""
        return np.asarray(self.vertices.max(axis=0) - self.vertices.min(axis=0))

    @property
    def inferred_fraction(self) -> float:
        """Share of the surface's area that no radiograph shows."""
        corners = self.vertices[self.triangles]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        unseen = self.inferred[self.triangles].mean(axis=1)
        return float((area * unseen).sum() / area.sum())

    def normals(self) -> FloatArray:
        """(V, 3) outward unit normals, area-weighted means of the adjoining triangles."""
        corners = self.vertices[self.triangles]
        facet = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = np.zeros_like(self.vertices)
        for corner in range(3):
            np.add.at(normals, self.triangles[:, corner], facet)
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        return np.asarray(normals / np.where(lengths > 0, lengths, 1))

    @property
    def watertight(self) -> bool:
        """Every edge is shared by exactly two triangles that run along it in opposite directions."""
        edges = self.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
        forward = edges[:, 0] * len(self.vertices) + edges[:, 1]
        backward = edges[:, 1] * len(self.vertices) + edges[:, 0]
        return len(np.unique(forward)) == len(forward) and np.array_equal(np.sort(forward), np.sort(backward))
