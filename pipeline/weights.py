"""Opens the models that the manifest names, after checking that they are the files it means."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from pipeline.errors import ConfigurationError
from pipeline.manifest import MANIFEST, ModelEntry, bundled_models_folder, read_manifest
from pipeline.reconstruct import Models
from pipeline.results import ModelVersion
from pipeline.shape_model import load as load_shape_model
from pipeline.surface import Bone

FloatImage = npt.NDArray[np.float32]

PERCEPTION: Final = "perception"
GATE: Final = "gate"
BONES: Final = "bones"


class OnnxNetwork:
    """An ONNX model with one input and one output, as a function of arrays."""

    def __init__(self, path: Path, *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, image: FloatImage) -> FloatImage:
        """The model's output for an input of its shape."""
        found: FloatImage = self._session.run(None, {self._input: image})[0]
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModels(Models):
    """The models that take part, and which versions they are."""

    versions: tuple[ModelVersion, ...]


def load_models(folder: Path | None = None, *, threads: int = 1) -> LoadedModels:
    """Open everything that a reconstruction needs.

    Args:
        folder: Where `manifest.toml` and the models lie; None: those that came with Bonecraft.
        threads: Threads that each network computes with.

    Raises:
        ConfigurationError: A model is missing, or its file is not the one that the manifest means.
    """
    place = folder or bundled_models_folder()
    entries = {entry.name: entry for entry in read_manifest(place)}
    return LoadedModels(
        gate=OnnxNetwork(verified_file(place, entries, GATE), threads=threads),
        femur=OnnxNetwork(verified_file(place, entries, PERCEPTION), threads=threads),
        bones=OnnxNetwork(verified_file(place, entries, BONES), threads=threads),
        shapes={bone: load_shape_model(verified_file(place, entries, shape_of(bone))) for bone in Bone},
        versions=tuple(_version(entries[name]) for name in (GATE, PERCEPTION, BONES, *map(shape_of, Bone))),
    )


def shape_of(bone: Bone) -> str:
    """The manifest's name of a bone's shape model."""
    return f"{bone}_shape"


def verified_file(folder: Path, entries: Mapping[str, ModelEntry], name: str) -> Path:
    """Path of a model's file, whose digest is the manifest's.

    Raises:
        ConfigurationError: The manifest has no such model, or the file is missing or another one.
    """
    if name not in entries:
        raise ConfigurationError(
            f"{folder / MANIFEST} names no model {name!r}: restore the file that came with Bonecraft"
        )
    path = folder / entries[name].file
    if not path.is_file():
        raise ConfigurationError(f"the model {name!r} should be at {path}, but is not: restore that file")
    if hashlib.sha256(path.read_bytes()).hexdigest() != entries[name].sha256:
        raise ConfigurationError(f"{path} is not the file that {MANIFEST} means: restore it, or correct its sha256")
    return path


def _version(entry: ModelEntry) -> ModelVersion:
    return ModelVersion(name=entry.name, version=entry.version, licence=entry.licence, sha256=entry.sha256)
