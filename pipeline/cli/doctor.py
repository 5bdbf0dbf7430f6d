"""`bonecraft doctor`: what is the matter, and what to change where.

The DICOM door does the talking, in a process of its own: the house does not import its doors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.network import run_door

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    peer: Annotated[
        str | None, typer.Argument(metavar="PEER", help="Its AE title, INSTITUTION/TITLE, or AE@host:port.")
    ] = None,
    calling: Annotated[str, typer.Option("--from", metavar="AE", help="Our AE title, for AE@host:port.")] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Call AE@host:port over TLS.")] = False,
    store: Annotated[bool, typer.Option("--store", help="Store a test picture there, which stays there.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="The node's settings, node.toml.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Look over the node, its listener, and one peer or all that get results: OK, or the exact change to make.

    Exit 0: all is well; 1: something is to be changed; 2: an argument or setting is wrong.
    """
    wanted = {"--tls": tls, "--store": store, "--json": as_json}
    options = [name for name, given in wanted.items() if given]
    values = {"--from": calling, "--config": str(config or "")}
    options += [word for name, value in values.items() if value for word in (name, value)]
    run_door("scp_node.doctor", *options, *(["--", peer] if peer else []))
