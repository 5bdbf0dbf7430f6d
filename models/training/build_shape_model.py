"""Learn the femur's shape model from the collection's bones.

    python -m models.training.build_shape_model --data DATA --out models/femur_shape.npz [--leave-out PERSON ...]

The prior over shapes is a Gaussian process whose covariance is the sum of four parts, of which the largest joint modes
are kept (Lüthi 2018): what the people differed in; a free size and a free length, because a bone longer than any in the
collection must not be penalised; and smooth random fields along the normals, because a few dozen people do not span
everybody. What no mode explains becomes the model's residual, which the fit counts as error.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh

from models.training.bones import Bone, FloatArray, IntArray, read_femora, read_landmarks
from models.training.correspondence import (
    KERNELS,
    RANK,
    BoolArray,
    Registered,
    Template,
    deformation_basis,
    make_template,
    register,
    rigid,
)
from pipeline.shape_model import Landmark, ShapeModel, save

VERSION = "1"

LICENCE = "CC BY-NC-SA 4.0"
"""The strictest of its sources (VSD), which asks for the same licence on what is derived from it."""

TEMPLATES = ("z062-R", "z019-R")
"""Smooth bones of middling size: the first whose person is not left out lends its triangles."""

SIZE_SD = 0.08
LENGTH_SD = 0.04
"""Relative standard deviations of free size and free length. Adult femora are 400 to 530 mm long."""

RESIDUAL_KERNELS = ((60.0, 0.6), (25.0, 0.7), (12.0, 0.8))
"""Length scale and standard deviation (mm) of the random fields, matched to what leaving one person out left
unexplained: 1.1 mm per coordinate, correlated over 12 mm, with a weak longer part."""

RESIDUAL_RANK = 240
MODES = 130
REGISTRATION_SD_MM = 0.2
"""What the registration leaves between template and bone; adds to the residual."""

INTERVAL_FACTOR = 0.97
"""By how much predicted deviations grow to hold on people the model never saw: what `models.training.evaluate` printed
for end-to-end reconstructions (models/cards/reconstruction.md)."""

LANDMARKS = {
    "greater_trochanter": "SGT",
    "lesser_trochanter": "LT",
    "medial_epicondyle": "MEC",
    "lateral_epicondyle": "LEC",
    "intercondylar_notch": "ICN",
    "posterior_medial_condyle": "PMC",
    "posterior_lateral_condyle": "PLC",
    "distal_medial_condyle": "DMC",
    "distal_lateral_condyle": "DLC",
}
"""Our name and the collection's."""

NECK_ISTHMUS = ("SNI", "ANI", "INI", "PNI")

SHAFT_LEVELS_MM = {"shaft_upper": 25.0, "shaft_lower": 110.0}
"""Heights below the lesser trochanter of the two cross-sections whose centres span the axis of the upper shaft."""

RING_HALF_HEIGHT_MM = 5.0

HEAD_POINTS = ("SFH", "AFH", "PFH", "MFH", "IFH")
HEAD_TOLERANCE = 0.06
"""A vertex belongs to the head where its distance from the centre deviates less than this share of the radius."""


def build(data: Path, *, leave_out: frozenset[str], cache: Path | None = None) -> ShapeModel:
    """Register all bones but those left out, and learn the model from them.

    Args:
        data: Folder that holds ``bones.csv``.
        leave_out: People that the model must not see.
        cache: Folder to keep registrations in, by template.
    """
    bones = read_femora(data, leave_out=leave_out)
    template = make_template(next(bone for name in TEMPLATES for bone in bones if bone.name == name))
    registered = register_all(template, bones, cache)
    mean, factor = _learn(registered)
    positions = _landmark_positions(data, registered, mean)
    rotation, origin = _anatomical_frame(mean, positions)
    mean, positions = (mean - origin) @ rotation.T, {k: (v - origin) @ rotation.T for k, v in positions.items()}
    factor = factor @ rotation.T
    modes, residual_sd = _modes(mean, template, factor)
    regions, centre = _regions(mean, positions)
    landmarks = {name: _nearest(mean, positions[code]) for name, code in LANDMARKS.items()}
    landmarks["head_centre"] = _balanced(mean, regions["head"], centre)
    landmarks["neck_centre"] = _balanced(mean, regions["neck"], _middle(positions, NECK_ISTHMUS))
    landmarks |= {name: _ring(mean, positions["LT"][2] - below) for name, below in SHAFT_LEVELS_MM.items()}
    return ShapeModel(
        name="femur_shape",
        version=VERSION,
        licence=LICENCE,
        mean=mean,
        modes=modes,
        triangles=template.triangles.astype(np.int32),
        residual_sd=residual_sd,
        landmarks=landmarks,
        regions=regions,
        interval_factor=INTERVAL_FACTOR,
    )


def register_all(template: Template, bones: Sequence[Bone], cache: Path | None) -> tuple[Registered, ...]:
    """Carry the template onto every bone, or read from the cache what was registered before."""
    basis: FloatArray | None = None
    registered = []
    for bone in bones:
        file = cache / f"{template.person}-{bone.name}.npz" if cache else None
        if file and file.exists():
            with np.load(file) as kept:
                registered.append(
                    Registered(
                        bone=bone, vertices=kept["vertices"], seen=kept["seen"], residual_mm=float(kept["residual"])
                    )
                )
            continue
        basis = deformation_basis(template.vertices, KERNELS, RANK) if basis is None else basis
        registered.append(register(template, basis, bone))
        print(f"{bone.name}: residual {registered[-1].residual_mm:.2f} mm")
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(
                file, vertices=registered[-1].vertices, seen=registered[-1].seen, residual=registered[-1].residual_mm
            )
    return tuple(registered)


def _learn(registered: Sequence[Registered]) -> tuple[FloatArray, FloatArray]:
    """Mean (V, 3) and factor (N, V, 3) of the covariance: whole bones first, then proximal ones completed by them."""
    whole = [item for item in registered if item.bone.part == "whole"]
    mean, factor = _mean_and_factor([item.vertices for item in whole], _weights(whole))
    completed = [
        item.vertices if item.bone.part == "whole" else complete(item.vertices, item.seen, mean, factor)
        for item in registered
    ]
    return _mean_and_factor(completed, _weights(registered))


def _weights(registered: Sequence[Registered]) -> FloatArray:
    """Each person counts once, however many bones they gave."""
    people = [item.bone.person for item in registered]
    return np.array([1 / people.count(person) for person in people])


def _mean_and_factor(shapes: Sequence[FloatArray], weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rigidly align shapes to their weighted mean (Procrustes without scaling), and factor their covariance."""
    mean = shapes[0]
    for _ in range(5):
        aligned = np.array([rigid(shape, mean) for shape in shapes])
        mean = np.average(aligned, axis=0, weights=weights)
    mean = mean - mean.mean(axis=0)
    differences = np.array([rigid(shape, mean) for shape in shapes]) - mean
    return mean, differences * np.sqrt(weights / (weights.sum() - 1))[:, None, None]


def complete(vertices: FloatArray, seen: BoolArray, mean: FloatArray, factor: FloatArray) -> FloatArray:
    """A bone whose unseen part is what the model expects, given the part that was seen.

    Args:
        vertices: (V, 3); values where not `seen` are ignored.
        seen: (V,).
        mean: (V, 3).
        factor: (N, V, 3) of the covariance.
    """
    full = np.concatenate([factor, _size_and_length(mean)])
    columns = full[:, seen].reshape(len(full), -1).T
    guess, noise = mean, 1.0
    for _ in range(10):
        aligned = _aligned_by_part(vertices, guess, seen)
        wanted = (aligned - mean)[seen].reshape(-1)
        coefficients = np.linalg.solve(columns.T @ columns + noise * np.eye(len(full)), columns.T @ wanted)
        guess = mean + np.tensordot(coefficients, full, axes=1)
    # The seam: the guess is carried to the seen part by the offset where they meet.
    edge = seen & (guess[:, 2] < np.quantile(guess[seen][:, 2], 0.05))
    return np.where(seen[:, None], aligned, guess + (aligned - guess)[edge].mean(axis=0))


def _aligned_by_part(vertices: FloatArray, target: FloatArray, part: BoolArray) -> FloatArray:
    """`vertices` moved rigidly so that their `part` lies on that of `target`."""
    a, b = vertices[part], target[part]
    u, _, vt = np.linalg.svd((b - b.mean(axis=0)).T @ (a - a.mean(axis=0)))
    rotation = (u * [1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return np.asarray((vertices - a.mean(axis=0)) @ rotation.T + b.mean(axis=0))


def _size_and_length(mean: FloatArray) -> FloatArray:
    """(2, V, 3): the whole bone larger, and longer along its long axis, by one standard deviation."""
    centred = mean - mean.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    return np.stack([SIZE_SD * centred, LENGTH_SD * np.outer(centred @ axis, axis)])


def _modes(mean: FloatArray, template: Template, factor: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The largest joint modes (K, V, 3) of all parts of the covariance, and the residual's standard deviation (V,)."""
    normals = np.array(trimesh.Trimesh(mean, template.triangles, process=False).vertex_normals)
    fields = deformation_basis(mean, RESIDUAL_KERNELS, RESIDUAL_RANK)
    along_normals = np.einsum("vr,vc,vd->rcvd", fields, normals, normals).reshape(-1, *mean.shape)
    parts = np.concatenate([factor, _size_and_length(mean), _without_rigid_motion(along_normals, mean)])
    flat = parts.reshape(len(parts), -1)
    vectors = np.linalg.eigh(flat @ flat.T)[1]
    modes = (vectors[:, ::-1][:, :MODES].T @ flat).reshape(-1, *mean.shape)
    total = sum(sd**2 for _, sd in RESIDUAL_KERNELS) + _normal_variance(factor, normals)
    explained = _normal_variance(modes, normals)
    size = _normal_variance(_size_and_length(mean), normals)
    left = np.maximum(total + size - explained, 0) + REGISTRATION_SD_MM**2
    return modes, np.sqrt(left)


def _normal_variance(modes: FloatArray, normals: FloatArray) -> FloatArray:
    return np.asarray((np.einsum("kvc,vc->kv", modes, normals) ** 2).sum(axis=0))


def _without_rigid_motion(fields: FloatArray, mean: FloatArray) -> FloatArray:
    """`fields` (N, V, 3) without their rotations and translations, which are the pose's."""
    axes = np.eye(3)
    motions = [np.broadcast_to(axis, mean.shape) for axis in axes] + [np.cross(axis, mean) for axis in axes]
    orthonormal = np.linalg.qr(np.array(motions).reshape(6, -1).T)[0]
    flat = fields.reshape(len(fields), -1)
    return np.asarray((flat - (flat @ orthonormal) @ orthonormal.T).reshape(fields.shape))


def _landmark_positions(data: Path, registered: Sequence[Registered], mean: FloatArray) -> dict[str, FloatArray]:
    """Hand-picked landmarks carried to the mean by correspondence, averaged over people."""
    found: dict[str, list[FloatArray]] = {}
    for item in registered:
        for code, position in read_landmarks(data, item.bone.person, item.bone.side).items():
            nearest = np.linalg.norm(item.vertices - position, axis=1).argsort()[:3]
            found.setdefault(code, []).append(mean[nearest].mean(axis=0))
    return {code: np.median(positions, axis=0) for code, positions in found.items()}


def _anatomical_frame(mean: FloatArray, positions: dict[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Rotation (3, 3) into, and origin (3,) of, the frame of `pipeline.shape_model`.

    Mechanical axis: head centre to the middle of the epicondyles (Wu 2002, J Biomech 35:543).
    """
    centre, _ = fit_sphere(np.array([positions[code] for code in HEAD_POINTS]))
    middle = (positions["MEC"] + positions["LEC"]) / 2
    z = (centre - middle) / np.linalg.norm(centre - middle)
    medial = positions["MEC"] - positions["LEC"]
    x = medial - (medial @ z) * z
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z]), mean.mean(axis=0)


def fit_sphere(points: FloatArray) -> tuple[FloatArray, float]:
    """Centre (3,) and radius of the sphere nearest to points (N, 3) in the algebraic sense."""
    system = np.hstack([2 * points, np.ones((len(points), 1))])
    solution = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


def _regions(mean: FloatArray, positions: dict[str, FloatArray]) -> tuple[dict[str, IntArray], FloatArray]:
    """Vertex indices by region, and the centre of the head."""
    neck_middle = _middle(positions, NECK_ISTHMUS)
    centre, radius = fit_sphere(np.array([positions[code] for code in HEAD_POINTS]))
    for _ in range(5):
        from_centre = mean - centre
        distance = np.linalg.norm(from_centre, axis=1)
        towards_neck = (neck_middle - centre) / np.linalg.norm(neck_middle - centre)
        facing_away = from_centre @ towards_neck < 0.5 * radius
        head = (abs(distance / radius - 1) < HEAD_TOLERANCE) & facing_away
        centre, radius = fit_sphere(mean[head])
    lowest, top_of_shaft = mean[:, 2].min(), positions["LT"][2] - 15
    distal = mean[:, 2] < lowest + 0.18 * np.ptp(mean[:, 2])
    shaft = (mean[:, 2] < top_of_shaft) & ~distal
    along = (mean - centre) @ towards_neck
    neck_length = float((neck_middle - centre) @ towards_neck)
    near_axis = np.linalg.norm((mean - centre) - np.outer(along, towards_neck), axis=1) < radius
    neck = ~head & (along > 0.5 * radius) & (along < neck_length + 8) & near_axis
    trochanters = ~(distal | shaft | head | neck)
    masks = {"head": head, "neck": neck, "trochanters": trochanters, "shaft": shaft, "distal": distal}
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}, centre


def _middle(positions: dict[str, FloatArray], codes: Sequence[str]) -> FloatArray:
    return np.asarray(np.mean([positions[code] for code in codes], axis=0))


def _ring(mean: FloatArray, height: float) -> Landmark:
    """The centre of the shaft's cross-section at a height."""
    indices = np.flatnonzero(abs(mean[:, 2] - height) < RING_HALF_HEIGHT_MM)
    return Landmark(indices=indices, weights=np.full(len(indices), 1 / len(indices)))


def _nearest(mean: FloatArray, position: FloatArray) -> Landmark:
    index = np.linalg.norm(mean - position, axis=1).argmin()
    return Landmark(indices=np.array([index]), weights=np.ones(1))


def _balanced(mean: FloatArray, region: IntArray, position: FloatArray) -> Landmark:
    """The smallest weights on a region's vertices that average to `position`: it follows the region as that grows."""
    constraints = np.vstack([(mean[region] - position).T, np.ones(len(region))])
    weights = np.linalg.pinv(constraints) @ [0, 0, 0, 1]
    return Landmark(indices=region, weights=weights / weights.sum())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="PERSON")
    parser.add_argument("--cache", type=Path, default=Path("models/training/runs/correspondence"))
    arguments = parser.parse_args()
    model = build(arguments.data, leave_out=frozenset(arguments.leave_out), cache=arguments.cache)
    save(model, arguments.out)
    print(
        f"{arguments.out}: {len(model.mean)} vertices, {model.size} modes, {arguments.out.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
