"""`bonecraft send` and `bonecraft echo`: a DICOM peer from the command line.

The DICOM door does the talking, in a process of its own: the house does not import its doors.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.addresses import DEFAULT_AE_TITLE

send_app = typer.Typer(add_completion=False)
echo_app = typer.Typer(add_completion=False)

Calling = Annotated[str, typer.Option("--from", metavar="AE", help="Our AE title.")]
Tls = Annotated[bool, typer.Option("--tls", help="Call over TLS, with the certificates that the settings name.")]
Config = Annotated[Path | None, typer.Option("--config", help="The node's settings, node.toml; needed for --tls.")]


@send_app.command()
def send(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="DICOM files, or folders of .dcm files.")],
    to: Annotated[str, typer.Option("--to", metavar="AE@host:port", help="The peer.")],
    calling: Calling = DEFAULT_AE_TITLE,
    tls: Tls = False,
    config: Config = None,
) -> None:
    """Send DICOM files by C-STORE.

    Exit 0: all are stored; 1: some were not; 2: a file or argument is wrong; 75: the peer could not be reached.
    """
    run_door("scp_node.send", "--to", to, "--from", calling, *_tls(tls, config), "--", *map(str, paths))


@echo_app.command()
def echo(
    peer: Annotated[str, typer.Argument(metavar="AE@host:port", help="The peer.")],
    calling: Calling = DEFAULT_AE_TITLE,
    tls: Tls = False,
    config: Config = None,
) -> None:
    """Ask a DICOM peer whether it is there (C-ECHO). Exit 75: it is not, and what to change where."""
    run_door("scp_node.echo", "--from", calling, *_tls(tls, config), "--", peer)


def _tls(wanted: bool, config: Path | None) -> list[str]:
    return [*(["--tls"] if wanted else []), *(["--config", str(config)] if config else [])]


def run_door(module: str, *arguments: str) -> None:
    """Run a module of the DICOM door, and end as it ends."""
    done = subprocess.run([sys.executable, "-P", "-m", module, *arguments], check=False)  # noqa: S603
    sys.exit(done.returncode)
