"""Where the web door puts files for as long as one request takes: on the store's own file system."""

from __future__ import annotations

from pathlib import Path

from pipeline.settings import NodeSettings


def scratch_folder(settings: NodeSettings) -> Path:
    """The folder, made where it is missing; readable by the node alone."""
    folder = settings.data_folder.absolute() / "web-scratch"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
