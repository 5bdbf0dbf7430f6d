"""Models that have never seen a person: networks by fold, shape models by person.

Networks lie in a folder for every fold, `1/femur.onnx`, `1/bones.onnx` and, where there is one, `1/gate.onnx`, made by
`train_perception`, `train_bones` and `join_gate` from trainings with `--hold-out 1`. Without a gate of its own, a fold
gets the one that ships, which was trained without fold 1.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.training.bone_dataset import MODELS, read_models
from models.training.bones import Kind, is_of, person_of
from models.training.build_shape_model import build
from pipeline.reconstruct import Models
from pipeline.shape_model import ShapeModel, load, save
from pipeline.weights import OnnxNetwork


@dataclass(frozen=True, kw_only=True)
class FoldNetworks:
    """Files of the networks that have not seen the people of a fold."""

    femur: Path
    bones: Path
    gate: Path

    @property
    def digest(self) -> str:
        """Of all three."""
        read = b"".join(hashlib.sha256(path.read_bytes()).digest() for path in (self.femur, self.bones, self.gate))
        return hashlib.sha256(read).hexdigest()[:12]


def find_networks(folder: Path) -> dict[int, FoldNetworks]:
    """The networks of every fold that has them."""
    found = {}
    for place in sorted(folder.glob("[0-9]*")):
        own_gate = place / "gate.onnx"
        networks = FoldNetworks(
            femur=place / "femur.onnx",
            bones=place / "bones.onnx",
            gate=own_gate if own_gate.exists() else shipped_networks().gate,
        )
        if networks.femur.exists() and networks.bones.exists():
            found[int(place.name)] = networks
    return found


def shipped_networks() -> FoldNetworks:
    """Those that ship, which have seen nearly everybody."""
    return FoldNetworks(femur=MODELS / "perception.onnx", bones=MODELS / "bones.onnx", gate=MODELS / "gate.onnx")


def open_models(networks: FoldNetworks, shapes: dict[Kind, ShapeModel]) -> Models:
    """What the product reconstructs with, on one thread."""
    return Models(
        gate=OnnxNetwork(networks.gate, threads=1),
        femur=OnnxNetwork(networks.femur, threads=1),
        bones=OnnxNetwork(networks.bones, threads=1),
        shapes=shapes,
        versions=(),
    )


def shapes_without(person: str, data: Path, runs: Path) -> dict[Kind, ShapeModel]:
    """Every bone's shape model without a person; the one that ships where the person has no such bone."""
    with (data / "bones.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if person_of(row["subject"]) == person]
    shipped = read_models()
    return {kind: _shape(kind, person, rows, data, runs, shipped[kind]) for kind in Kind}


def _shape(
    kind: Kind, person: str, rows: Sequence[dict[str, str]], data: Path, runs: Path, shipped: ShapeModel
) -> ShapeModel:
    return model_without(data, kind, person, runs) if any(is_of(kind, row) for row in rows) else shipped


def model_without(data: Path, kind: Kind, person: str, runs: Path) -> ShapeModel:
    """A kind's shape model that never saw a person, built once."""
    path = runs / "shape" / f"{kind}-without-{person}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save(build(data, leave_out=frozenset({person}), kind=kind, cache=runs / "correspondence"), path)
    return load(path)
