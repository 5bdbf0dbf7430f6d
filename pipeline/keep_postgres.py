"""The process that keeps the embedded PostgreSQL: `python -m pipeline.keep_postgres [--config node.toml]`."""

from __future__ import annotations

import threading

from pipeline.embedded_postgres import run_embedded_postgres
from pipeline.errors import TransientError
from pipeline.role import run_role
from pipeline.settings import NodeSettings


def keep(settings: NodeSettings, _stop: threading.Event) -> None:
    """Run the server until SIGTERM.

    Raises:
        TransientError: It died; start this process again.
    """
    if run_embedded_postgres(settings.data_folder) != 0:
        raise TransientError("PostgreSQL died; starting this process again recovers it")


if __name__ == "__main__":
    run_role("postgres", keep)
