"""Which models came with Bonecraft: `models/manifest.toml`, read without loading any of them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.errors import ConfigurationError

MANIFEST: Final = "manifest.toml"


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model of the manifest.

    Attributes:
        name: By which it is asked for.
        version: Its version.
        file: Its file, relative to the manifest.
        sha256: Of that file, hexadecimal.
        licence: Its own, which the training data decides.
        training_data: What it was made from.
    """

    name: str
    version: str
    file: str
    sha256: str
    licence: str
    training_data: str


def bundled_models_folder() -> Path:
    """Where the models lie that came with Bonecraft: in a clone, or in an installed wheel."""
    package = Path(__file__).resolve().parent
    clone = package.parent / "models"
    return clone if (clone / MANIFEST).is_file() else package / "_models"


def read_manifest(folder: Path | None = None) -> tuple[ModelEntry, ...]:
    """The models in `folder`; None: those that came with Bonecraft.

    Raises:
        ConfigurationError: There is no manifest, or an entry lacks something; the message says which.
    """
    path = (folder or bundled_models_folder()) / MANIFEST
    try:
        plain = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"no {MANIFEST} in {path.parent}: set models_folder to where the models lie"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    return tuple(_entry(each, path) for each in plain.get("models", ()))


def _entry(plain: dict[str, Any], path: Path) -> ModelEntry:
    try:
        return ModelEntry(**{name: str(plain[name]) for name in ModelEntry.__dataclass_fields__})
    except KeyError as error:
        raise ConfigurationError(f"{path}: model {plain.get('name', '?')} lacks {error}") from error
