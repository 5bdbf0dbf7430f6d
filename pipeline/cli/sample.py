"""`bonecraft sample`: the sample study as files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.errors import ConfigurationError

app = typer.Typer(add_completion=False)

SAMPLE_FOLDERS: Final = (
    Path(__file__).parents[1] / "_models" / "sample",  # in an installed wheel
    Path(__file__).parents[2] / "models" / "sample",  # in a clone
)


def sample_folder() -> Path:
    """The folder that holds the sample study.

    Raises:
        ConfigurationError: This installation came without it.
    """
    for folder in SAMPLE_FOLDERS:
        if folder.is_dir():
            return folder
    raise ConfigurationError("the sample study is missing from this installation; reinstall bonecraft or use a clone")


@app.command()
def sample(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to; made where it does not exist.")],
) -> None:
    """Write the sample study: an AP and a lateral hip radiograph simulated from a real femur, and that femur."""
    written = shutil.copytree(sample_folder(), out, dirs_exist_ok=True)
    for path in sorted(Path(written).rglob("*")):
        if path.is_file():
            typer.echo(path)
