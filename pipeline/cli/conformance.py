"""`bonecraft conformance`: the DICOM Conformance Statement of this node.

The DICOM door writes it, in a process of its own: the house does not import its doors.
"""

from __future__ import annotations

import typer

from pipeline.cli.administration import Config
from pipeline.cli.network import run_door

app = typer.Typer(add_completion=False)


@app.command()
def conformance(config: Config = None) -> None:
    """Print the DICOM Conformance Statement (PS3.2) as Markdown, as the node is set up."""
    run_door("scp_node.conformance", *(["--config", str(config)] if config else []))
