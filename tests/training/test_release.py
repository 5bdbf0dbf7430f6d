"""A release changes one model's digest and version, and nothing else in the manifest."""

from __future__ import annotations

import tomllib

import pytest

from models.training.release import with_digest
from pipeline.manifest import bundled_models_folder

MANIFEST = (bundled_models_folder() / "manifest.toml").read_text()


def test_only_the_named_model_changes():
    before = {model["name"]: model for model in tomllib.loads(MANIFEST)["models"]}
    after = {m["name"]: m for m in tomllib.loads(with_digest(MANIFEST, "gate", sha256="ab", version="7"))["models"]}
    assert after.pop("gate") == {**before.pop("gate"), "sha256": "ab", "version": "7"}
    assert after == before


def test_an_unknown_model_is_named():
    with pytest.raises(ValueError, match="'door'"):
        with_digest(MANIFEST, "door", sha256="ab", version="7")
