"""The command line `bonecraft`.

Each command lives in a module of its own, which offers a Typer `app`. The module is imported when its command is
called and not before, so that `bonecraft --help` need not wait for Open3D, ONNX or SQLAlchemy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Final

import typer

from pipeline.errors import BonecraftError, ConfigurationError, InputError, Refusal, TransientError

EXIT_CODES: Final[dict[type[BonecraftError], int]] = {
    InputError: 2,
    ConfigurationError: 2,
    Refusal: 3,
    TransientError: 75,
}
"""By family. 2 is what Typer gives for a wrong option too; 75 is EX_TEMPFAIL of sysexits.h: try again later."""

COMMANDS: Final = {
    "demo": ("pipeline.cli.demo", "Play the whole road on the sample study, then keep serving."),
    "reconstruct": ("pipeline.cli.reconstruct", "Reconstruct the bone of one study's files; no network, no database."),
    "sample": ("pipeline.cli.sample", "Write the sample study to a folder."),
    "serve": ("pipeline.cli.serve", "Run the node: listener, workers, delivery, web."),
    "status": ("pipeline.cli.status", "Show the queue, the last studies and their deliveries."),
    "rerun": ("pipeline.cli.status:rerun_app", "Reconstruct a study again that failed or was refused."),
    "resend": ("pipeline.cli.status:resend_app", "Send a result again that could not be delivered."),
    "prove": ("pipeline.cli.prove", "Show what became of an instance; verify the ledger."),
    "retention": ("pipeline.cli.retention", "Show and set how long what is kept; remove what was kept long enough."),
    "quarantine": ("pipeline.cli.quarantine", "List what was received but could not be taken in."),
    "send": ("pipeline.cli.network:send_app", "Send DICOM files by C-STORE."),
    "pull": ("pipeline.cli.pull", "Fetch images from a peer (C-FIND, then C-GET or C-MOVE)."),
    "echo": ("pipeline.cli.network:echo_app", "Ask a DICOM peer whether it is there (C-ECHO)."),
    "doctor": ("pipeline.cli.doctor", "Look over the node and its peers: OK, or the exact change to make."),
    "conformance": ("pipeline.cli.conformance", "Print the DICOM Conformance Statement of this node."),
    "tls": ("pipeline.cli.tls", "Make certificates for DICOM over TLS."),
    "institutions": ("pipeline.cli.admin:institutions", "List, add, change and remove institutions."),
    "peers": ("pipeline.cli.admin:peers", "List, add, change and remove DICOM peers."),
    "sources": ("pipeline.cli.admin_sources:sources", "List, add, change and remove Orthanc servers to watch."),
    "rules": ("pipeline.cli.rules:rules", "Say which studies are processed, how urgently, and what goes where."),
    "users": ("pipeline.cli.admin_users:users", "List, add, change and remove users."),
    "tokens": ("pipeline.cli.admin_tokens", "Make and revoke tokens of programs that read and store by DICOMweb."),
    "changes": ("pipeline.cli.admin_changes:changes", "Show what administrators changed, and take it back."),
    "site": ("pipeline.cli.admin_changes:site", "Bring what site.toml says into the database."),
}
"""Name: where its Typer app is (`module` or `module:attribute`), and its line in the help."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("bonecraft"))
        raise typer.Exit


def _root(
    _version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Bones in 3D from plain radiographs, written back into the study."""


def _delegate(name: str, where: str) -> Callable[[typer.Context], None]:
    """A command that imports the real one and hands it all arguments, `--help` included."""

    def call(context: typer.Context) -> None:
        module, _, attribute = where.partition(":")
        app: typer.Typer = getattr(import_module(module), attribute or "app")
        app(args=context.args, prog_name=f"bonecraft {name}")

    return call


def build_app() -> typer.Typer:
    """The Typer app with every command of `COMMANDS`."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_root)
    for name, (where, summary) in COMMANDS.items():
        hand_over = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
        app.command(name, help=summary, add_help_option=False, context_settings=hand_over)(_delegate(name, where))
    return app


def exit_code(error: BonecraftError) -> int:
    """What the process answers for an error of ours; 1 for a family without a code."""
    return next((code for family, code in EXIT_CODES.items() if isinstance(error, family)), 1)


def main() -> None:
    """Entry point of `bonecraft`: our own errors become one line on stderr and an exit code."""
    try:
        build_app()(prog_name="bonecraft")
    except BonecraftError as error:
        typer.echo(f"bonecraft: {error}", err=True)
        sys.exit(exit_code(error))
