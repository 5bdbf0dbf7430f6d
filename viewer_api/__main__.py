"""The web door as a process: `python -m viewer_api --config node.toml`."""

from __future__ import annotations

import threading

import uvicorn

from pipeline.database import open_database
from pipeline.role import run_role
from pipeline.scratch import scratch_folder, sweep
from pipeline.settings import NodeSettings
from pipeline.store import open_store
from viewer_api.app import create_app

SECONDS_TO_FINISH = 5
"""What requests in flight (and open progress streams) get after SIGTERM."""


def serve(settings: NodeSettings, stop: threading.Event) -> None:
    """Serve until `stop` is set."""
    sweep(scratch_folder(settings))
    database = open_database(settings)
    config = uvicorn.Config(
        create_app(settings, database, open_store(settings)),
        host=settings.web_host,
        port=settings.web_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
        ws="none",
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_tell, args=(server, stop), daemon=True).start()
    try:
        server.run()
    finally:
        database.close()


def _tell(server: uvicorn.Server, stop: threading.Event) -> None:
    stop.wait()
    server.should_exit = True


if __name__ == "__main__":
    run_role("web", serve)
