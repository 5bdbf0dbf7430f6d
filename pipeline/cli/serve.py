"""`bonecraft serve`: the node."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from pipeline.cli.administration import show_lines
from pipeline.errors import ConfigurationError, TransientError
from pipeline.logs import configure_logs
from pipeline.manifest import read_manifest
from pipeline.node import MODULES, Node, Prepared, Role, prepare_role, role_command
from pipeline.results import DISCLAIMER
from pipeline.settings import NodeSettings, load_settings
from pipeline.site import Step
from pipeline.site_file import load_site

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    config: Annotated[Path | None, typer.Option("--config", help="The node's settings, node.toml.")] = None,
    site: Annotated[Path | None, typer.Option("--site", help="Institutions, peers and users to apply.")] = None,
    role: Annotated[Role | None, typer.Option("--role", help="Run this role alone, for more machines.")] = None,
    log_folder: Annotated[
        Path | None, typer.Option("--log-folder", help="Write logs here, not to stderr (in a terminal: DATA/logs).")
    ] = None,
) -> None:
    """Run the node: listener, workers, delivery and web, each in a supervised process."""
    if role is not None and site is not None:
        raise ConfigurationError("--site is for the whole node; to apply it alone use bonecraft site apply")
    settings = load_settings(config)
    if role is not None:
        prepare_role(settings)
        _become(role, config)
    if log_folder is None and sys.stderr.isatty():
        log_folder = settings.data_folder / "logs"
    configure_logs("supervisor")
    wanted = load_site(site) if site else None
    node = Node(settings, config=config, log_folder=log_folder)
    try:
        prepared = node.prepare(wanted)
        if prepared is not None:
            _show_site(prepared.steps)
            _open(node, prepared, settings, log_folder)
    finally:
        node.stop()


def _open(node: Node, prepared: Prepared, settings: NodeSettings, log_folder: Path | None) -> None:
    """Open the doors, say where they are, and keep them open."""
    if not node.open_doors() and not node.is_stopping:
        raise TransientError("a door does not open: see the log of listener and web")
    if not node.is_stopping:
        _show_summary(prepared.called_ae_titles, settings, log_folder)
    node.run()


def _become(role: Role, config: Path | None) -> None:
    """Turn this process into the role's own: same process id, so that signals of a container's manager reach it."""
    command = role_command(MODULES[role], config)
    os.execv(command[0], command)  # noqa: S606 - our own interpreter


def _show_site(steps: Sequence[Step]) -> None:
    """What applying site.toml changed, and what was kept against it."""
    for step in steps:
        show_lines(step.lines())


def _show_summary(
    called_ae_titles: Mapping[str, Sequence[str]], settings: NodeSettings, log_folder: Path | None
) -> None:
    """Where everything is, what it runs on, and what it is not for."""
    lines = [
        *([("DICOM", f"{settings.dicom_host}:{settings.dicom_port}")] if settings.dicom_plain else []),
        *([("TLS", f"{settings.dicom_host}:{settings.dicom_tls_port}")] if settings.tls_certificate else []),
        *(("", f"{name}: {', '.join(titles) or 'no AE title yet'}") for name, titles in called_ae_titles.items()),
        ("Viewer", settings.origin),
        ("Data", str(settings.data_folder.absolute())),
        ("Logs", str(log_folder.absolute()) if log_folder else "stderr"),
        *(
            ("Model", f"{model.name} {model.version}, {model.licence}")
            for model in read_manifest(settings.models_folder)
        ),
    ]
    console = Console(highlight=False)
    console.print(Text(f"Bonecraft {version('bonecraft')} is running", style="bold"))
    for label, value in lines:
        console.print(Text.assemble((f"  {label:<8}", "dim"), value), soft_wrap=True)
    console.print(Text(f"  {DISCLAIMER}", style="dim"), soft_wrap=True)
