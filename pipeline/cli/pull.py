"""`bonecraft pull`: fetch images from a peer.

The DICOM door does the talking, in a process of its own: the house does not import its doors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.network import run_door

app = typer.Typer(add_completion=False)


@app.command()
def pull(
    peer: Annotated[str, typer.Option("--from", metavar="PEER", help="The peer's AE title, or INSTITUTION/TITLE.")],
    study: Annotated[str, typer.Option("--study", metavar="UID", help="The study (StudyInstanceUID).")] = "",
    accession: Annotated[str, typer.Option("--accession", metavar="NUMBER", help="Studies of this order.")] = "",
    patient: Annotated[str, typer.Option("--patient", metavar="ID", help="Studies of this patient (PatientID).")] = "",
    series: Annotated[str, typer.Option("--series", metavar="UID", help="Only this series of the study.")] = "",
    modality: Annotated[
        list[str] | None, typer.Option("--modality", help="These instead of CR, DX and RG; may be repeated.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All studies that are found, without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look what would be fetched, and fetch nothing.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="The node's settings, node.toml.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs; never asks.")] = False,
) -> None:
    """Fetch images from a peer by C-GET or C-MOVE, and take them in; what is here already is not fetched again.

    Several studies of an order or a patient are listed first, to choose from. Exit 0: all that is wanted is here; 1:
    not all, or there is nothing, or one has to be chosen; 2: an argument or setting is wrong; 75: the peer gave none.
    """
    values = {"--study": study, "--accession": accession, "--patient": patient, "--series": series}
    given = {"--from": peer, **values, "--config": str(config or "")}
    flags = {"--all": everything, "--dry-run": dry_run, "--json": as_json}
    words = [f"{name}={value}" for name, value in given.items() if value]
    words += [f"--modality={each}" for each in modality or []]
    run_door("scp_node.pull_command", *words, *(name for name, wanted in flags.items() if wanted))
