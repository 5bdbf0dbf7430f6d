"""Every bone of a kind in one template's vertices, kept in a cache because registration takes seconds a bone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.training.bones import Bone
from models.training.correspondence import Registered, Template, deformation_basis, make_template, register
from models.training.recipes import Recipe


def choose_template(recipe: Recipe, bones: Sequence[Bone]) -> Template:
    """The recipe's first template that is among the bones."""
    by_name = {bone.name: bone for bone in bones}
    chosen = next(by_name[name] for name in recipe.templates if name in by_name)
    return make_template(chosen, triangles=recipe.triangles, long=recipe.long)


def register_all(
    template: Template, recipe: Recipe, bones: Sequence[Bone], cache: Path | None
) -> tuple[Registered, ...]:
    """Carry the template onto every bone, or read from the cache what was registered before.

    Args:
        template: Of the same kind of bone.
        recipe: How freely it deforms.
        bones: Whole ones or parts.
        cache: Folder of this kind of bone; None keeps nothing.
    """
    files = [cache / f"{template.person}-{bone.name}.npz" if cache else None for bone in bones]
    missing = any(file is None or not file.exists() for file in files)
    basis = deformation_basis(template.vertices, recipe.kernels, recipe.rank) if missing else np.empty((0, 0))
    registered = []
    for bone, file in zip(bones, files, strict=True):
        if file and file.exists():
            registered.append(_read(file, bone))
            continue
        registered.append(register(template, basis, bone))
        print(f"{bone.name}: residual {registered[-1].residual_mm:.2f} mm", flush=True)
        if file:
            _write(file, registered[-1])
    return tuple(registered)


def _read(file: Path, bone: Bone) -> Registered:
    with np.load(file) as kept:
        residual = float(kept["residual"])
        return Registered(bone=bone, vertices=kept["vertices"], seen=kept["seen"], residual_mm=residual)


def _write(file: Path, registered: Registered) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, vertices=registered.vertices, seen=registered.seen, residual=registered.residual_mm)
