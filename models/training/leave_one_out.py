"""How well a bone's shape model says what it never saw: every person left out in turn, both sides together.

    python -m models.training.leave_one_out --bone hip_bone --data DATA

For every whole bone of the person left out, three surfaces are laid onto the true one: the mean, rigidly; the best of
what people differed in, with free size; and the best that all modes allow. It is the floor beneath any fit to
radiographs. People whose bone lends the template's triangles are judged by a model with the next template.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.training.bones import Bone, FloatArray, Kind, read_bones
from models.training.build_shape_model import CACHE
from models.training.correspondence import Registered, Template, closest_points, rigid
from models.training.covariance import free_modes, joint_modes, learn
from models.training.recipes import RECIPES, Recipe
from models.training.registration import choose_template, register_all

ROUNDS = 8
NOISE_MM = 0.3
"""Standard deviation of a vertex that the fit is to reach: fine enough for the floor, too coarse for noise."""

Row = dict[str, str | float]


def leave_one_out(data: Path, kind: Kind, *, cache: Path | None, people: Sequence[str] | None = None) -> list[Row]:
    """One row per whole bone: person, side, and average surface distance (mm) of the three surfaces.

    Args:
        data: Folder that holds ``bones.csv``.
        kind: Which bone.
        cache: Folder to keep registrations in, by bone and template.
        people: Whom to leave out; None: everybody with a whole bone.
    """
    recipe, bones = RECIPES[kind], read_bones(data, kind)
    folder = cache / kind if cache else None
    rows: list[Row] = []
    for person in people or sorted({bone.person for bone in bones if bone.part == "whole"}):
        others = [bone for bone in bones if bone.person != person]
        template = choose_template(recipe, others)
        registered = register_all(template, recipe, others, folder)
        own = [bone for bone in bones if bone.person == person and bone.part == "whole" and not _is_mirror(kind, bone)]
        truths = register_all(template, recipe, own, folder)
        for row in _judge(template, recipe, registered, truths):
            rows.append(row)
            print(*(f"{v:.2f}" if isinstance(v, float) else v for v in row.values()), flush=True)
    return rows


def _is_mirror(kind: Kind, bone: Bone) -> bool:
    """A sacrum seen in the mirror is no second sacrum."""
    return kind is Kind.SACRUM and bone.side == "L"


def _judge(
    template: Template, recipe: Recipe, registered: Sequence[Registered], truths: Sequence[Registered]
) -> list[Row]:
    mean, factor = learn(registered, recipe)
    people_only = np.concatenate([factor, free_modes(mean, recipe)])
    everything, _ = joint_modes(mean, template.triangles, factor, recipe)
    surfaces: dict[str, Callable[[Registered], FloatArray]] = {
        "mean": lambda truth: rigid(mean, truth.vertices),
        "people": lambda truth: nearest_shape(mean, people_only, truth),
        "all modes": lambda truth: nearest_shape(mean, everything, truth),
    }
    rows = []
    for truth in truths:
        row: Row = {"person": truth.bone.person, "side": truth.bone.side, "residual": truth.residual_mm}
        rows.append(
            row | {name: surface_distance(make(truth), template, truth.bone) for name, make in surfaces.items()}
        )
    return rows


def nearest_shape(mean: FloatArray, modes: FloatArray, truth: Registered) -> FloatArray:
    """(V, 3) the model's surface nearest to a bone, and laid onto it.

    By ridge regression on closest points, after the corresponding ones.

    Args:
        mean: (V, 3) mm.
        modes: (K, V, 3) mm per standard deviation.
        truth: The bone, registered with the model's template.
    """
    columns = modes.reshape(len(modes), -1).T
    system = columns.T @ columns + NOISE_MM**2 * np.eye(len(modes))
    guess, target = mean, truth.vertices
    for _ in range(ROUNDS):
        aligned = rigid(target, guess)
        guess = mean + np.tensordot(np.linalg.solve(system, columns.T @ (aligned - mean).reshape(-1)), modes, axes=1)
        placed = rigid(guess, target)
        target = closest_points(truth.bone.vertices, truth.bone.triangles, placed)
    return rigid(guess, target)


def surface_distance(vertices: FloatArray, template: Template, bone: Bone) -> float:
    """Average symmetric distance (mm) between a surface and a bone's, over the vertices of both."""
    there = np.linalg.norm(closest_points(bone.vertices, bone.triangles, vertices) - vertices, axis=1)
    back = np.linalg.norm(closest_points(vertices, template.triangles, bone.vertices) - bone.vertices, axis=1)
    return float((there.mean() + back.mean()) / 2)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bone", type=Kind, choices=list(Kind), required=True)
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--people", nargs="+", help="whom to leave out; everybody in turn when absent")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--out", type=Path, help="file for the rows as JSON")
    given = parser.parse_args()
    rows = leave_one_out(given.data, given.bone, cache=given.cache, people=given.people)
    for name in ("residual", "mean", "people", "all modes"):
        values = [float(row[name]) for row in rows]
        print(f"{name}: median {np.median(values):.2f}, worst {max(values):.2f} mm, {len(values)} bones")
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
