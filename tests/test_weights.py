"""A model is opened only when it is the file that the manifest means."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigurationError
from pipeline.manifest import bundled_models_folder
from pipeline.stages.gate import GATE_SIZE, LOGITS
from pipeline.stages.perceive import BONES, LANDMARKS, POINTS
from pipeline.surface import Bone
from pipeline.weights import load_models, shape_of


@pytest.fixture
def models(tmp_path) -> Path:
    """A copy of the models that came with Bonecraft."""
    for path in bundled_models_folder().iterdir():
        if path.suffix in {".toml", ".onnx", ".npz"}:
            shutil.copy(path, tmp_path)
    return tmp_path


def test_every_model_that_came_with_bonecraft_opens():
    loaded = load_models(threads=1)
    assert loaded.gate(np.zeros((1, 1, GATE_SIZE, GATE_SIZE), np.float32)).shape == (1, LOGITS)
    image = np.zeros((1, 1, 320, 176), np.float32)
    assert loaded.femur(image).shape == (1, 1 + len(LANDMARKS), 320, 176)
    assert loaded.bones(image).shape == (1, len(BONES) + len(POINTS), 320, 176)
    assert all(loaded.shapes[bone].size > 5 for bone in Bone)
    assert {version.name for version in loaded.versions} == {"gate", "perception", "bones", *map(shape_of, Bone)}
    assert all(version.licence for version in loaded.versions)


def test_a_file_that_changed_is_not_opened(models):
    with (models / "gate.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ConfigurationError, match="not the file"):
        load_models(models)


def test_a_missing_file_is_named(models):
    (models / "perception.onnx").unlink()
    with pytest.raises(ConfigurationError, match=r"perception\.onnx"):
        load_models(models)


def test_a_manifest_without_a_model_is_named(models):
    text = (models / "manifest.toml").read_text()
    (models / "manifest.toml").write_text(text.replace('name = "gate"', 'name = "door"'))
    with pytest.raises(ConfigurationError, match="'gate'"):
        load_models(models)
