"""What a result was made with, in words for its pictures."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from pipeline.results import ModelVersion
from pipeline.surface import Bone

SHAPE: Final = "_shape"
"""How the names of shape models end; before it stands the bone."""


@dataclass(frozen=True, kw_only=True)
class MadeWith:
    """The software and the models that take part."""

    software_version: str
    models: tuple[ModelVersion, ...]

    def words(self, bones: Collection[Bone]) -> str:
        """`Bonecraft 1.0; models: gate 5, perception 3; shapes: femur 1`, the shapes only of these bones."""
        shapes = {f"{bone}{SHAPE}": bone.words for bone in bones}
        used = [f"{model.name} {model.version}" for model in self.models if not model.name.endswith(SHAPE)]
        shown = [f"{shapes[model.name]} {model.version}" for model in self.models if model.name in shapes]
        return f"Bonecraft {self.software_version}; models: {', '.join(used)}; shapes: {', '.join(shown)}"
