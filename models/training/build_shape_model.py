"""Learn a bone's shape model from the collection's bones.

    python -m models.training.build_shape_model --bone femur --data DATA --out models/femur_shape.npz
        [--leave-out PERSON ...]

How people's bones make a mean and modes is in `models.training.covariance`, what differs between bones in
`models.training.recipes`; landmarks and regions are found by the bone's own module.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import trimesh

from models.training import femur_features, leg_features, pelvis_features
from models.training.bones import FloatArray, Kind, read_bones
from models.training.correspondence import Registered
from models.training.covariance import joint_modes, learn
from models.training.features import Features
from models.training.recipes import RECIPES
from models.training.registration import choose_template, register_all
from pipeline.shape_model import ShapeModel, save

VERSION = "1"
CACHE = Path("models/training/runs/correspondence")

Orientation = Callable[[Path, Sequence[Registered], FloatArray], FloatArray]
Description = Callable[[Path, Sequence[Registered], FloatArray, FloatArray], Features]

FEATURES: dict[Kind, tuple[Orientation, Description]] = {
    Kind.FEMUR: (femur_features.orientation, femur_features.describe),
    Kind.HIP_BONE: (pelvis_features.orientation, pelvis_features.describe_hip_bone),
    Kind.SACRUM: (pelvis_features.orientation, pelvis_features.describe_sacrum),
    Kind.TIBIA: (leg_features.orientation, leg_features.describe_tibia),
    Kind.FIBULA: (leg_features.orientation, leg_features.describe_fibula),
    Kind.PATELLA: (leg_features.orientation, leg_features.describe_patella),
}


def build(data: Path, *, leave_out: frozenset[str], kind: Kind = Kind.FEMUR, cache: Path | None = None) -> ShapeModel:
    """Register all bones but those left out, and learn the model from them.

    Args:
        data: Folder that holds ``bones.csv``.
        leave_out: People that the model must not see.
        kind: Which bone.
        cache: Folder to keep registrations in, by bone and template.
    """
    recipe, bones = RECIPES[kind], read_bones(data, kind, leave_out=leave_out)
    template = choose_template(recipe, bones)
    registered = register_all(template, recipe, bones, cache / kind if cache else None)
    mean, factor = learn(registered, recipe)
    orientation, describe = FEATURES[kind]
    rotation = orientation(data, registered, mean)
    mean, factor = (mean - mean.mean(axis=0)) @ rotation.T, factor @ rotation.T
    modes, residual_sd = joint_modes(mean, template.triangles, factor, recipe)
    normals = np.array(trimesh.Trimesh(mean, template.triangles, process=False).vertex_normals)
    features = describe(data, registered, mean, normals)
    return ShapeModel(
        name=f"{kind}_shape",
        version=VERSION,
        licence=recipe.licence,
        mean=mean,
        modes=modes,
        triangles=template.triangles.astype(np.int32),
        residual_sd=residual_sd,
        landmarks=features.landmarks,
        regions=features.regions,
        interval_factor=recipe.interval_factor,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bone", type=Kind, choices=list(Kind), default=Kind.FEMUR)
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="PERSON")
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    left_out = frozenset(arguments.leave_out)
    model = build(arguments.data, leave_out=left_out, kind=arguments.bone, cache=arguments.cache)
    save(model, arguments.out)
    print(
        f"{arguments.out}: {len(model.mean)} vertices, {model.size} modes, {arguments.out.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
