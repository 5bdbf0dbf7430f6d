"""`--tls` on the command lines that call a peer."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pipeline.settings import load_settings
from scp_node.peer import Target
from scp_node.tls import TlsFiles


def add_tls_options(parser: argparse.ArgumentParser) -> None:
    """Let the caller ask for TLS."""
    parser.add_argument("--tls", action="store_true", help="call over TLS, with the certificates of the settings")
    parser.add_argument("--config", type=Path, help="node.toml, which names the certificates")


def over_tls(target: Target, given: argparse.Namespace) -> Target:
    """The target, called over TLS where that was asked for.

    Raises:
        ConfigurationError: The settings are wrong.
    """
    return replace(target, tls=TlsFiles.of(load_settings(given.config))) if given.tls else target
