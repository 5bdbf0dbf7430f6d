"""The process that listens for DICOM associations: `python -m scp_node.listener [--config node.toml]`."""

from __future__ import annotations

import socketserver
import threading
import time
from typing import Final

import structlog
from pynetdicom import AE, _config
from pynetdicom.transport import ThreadedAssociationServer

from pipeline.database import open_database
from pipeline.errors import ConfigurationError
from pipeline.role import run_role
from pipeline.settings import NodeSettings
from pipeline.store import open_store
from scp_node.contexts import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MAXIMUM_PDU_BYTES,
    accepted_contexts,
)
from scp_node.handlers import Handlers
from scp_node.incoming import receive_into, sweep
from scp_node.transport import Door, server_context

SILENCE_SECONDS: Final = 60
"""So long a sender may say nothing before the association is closed."""
REQUEST_SECONDS: Final = 15
"""So long a connection may be open without an association request."""
DRAIN_SECONDS: Final = 15
SWEEP_SECONDS: Final = 600

log = structlog.get_logger(__name__)


def run(settings: NodeSettings, stop: threading.Event) -> None:
    """Listen until `stop`; then refuse new associations and let open ones finish.

    Raises:
        ConfigurationError: The port cannot be opened, or the TLS files cannot be read.
    """
    folder = settings.data_folder.absolute() / "incoming"
    receive_into(folder)
    database = open_database(settings)
    handlers = Handlers(
        database=database,
        store=open_store(settings),
        folder=folder,
        minimum_free_megabytes=settings.minimum_free_megabytes,
    )
    server = start_server(settings, handlers)
    log.info("ready", host=settings.dicom_host, port=settings.dicom_port)
    while True:
        sweep(folder, now=time.time())
        if stop.wait(SWEEP_SECONDS):
            break
    handlers.refuse_new()
    drain(server)
    database.close()


def start_server(settings: NodeSettings, handlers: Handlers) -> ThreadedAssociationServer:
    """Open the port and take associations, each in threads of its own.

    Raises:
        ConfigurationError: The port cannot be opened, or the TLS files cannot be read.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE("BONECRAFT")  # only a default: `access` decides which called AE titles are ours
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = MAXIMUM_PDU_BYTES
    ae.maximum_associations = settings.maximum_associations
    ae.network_timeout = ae.dimse_timeout = SILENCE_SECONDS
    ae.acse_timeout = REQUEST_SECONDS
    try:
        server = ae.make_server(
            (settings.dicom_host, settings.dicom_port),
            contexts=accepted_contexts(),
            evt_handlers=handlers.bindings(),
            server_class=ThreadedAssociationServer,
            request_handler=Door.behind(server_context(settings)),
        )
    except OSError as error:
        where = f"{settings.dicom_host}:{settings.dicom_port}"
        raise ConfigurationError(
            f"cannot listen at {where} ({error.strerror}): stop who does, or change dicom_port"
        ) from error
    threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    return server


def drain(server: ThreadedAssociationServer) -> None:
    """Close the port; give open associations time to finish, then abort what is left."""
    socketserver.BaseServer.shutdown(server)
    server.server_close()
    give_up = time.monotonic() + DRAIN_SECONDS
    while any(a.is_established for a in server.active_associations) and time.monotonic() < give_up:
        time.sleep(0.05)
    for association in server.active_associations:
        if association.is_established:
            association.abort()
        elif association.dul.socket is not None:
            association.dul.socket.close()
    log.info("drained")


if __name__ == "__main__":
    run_role("listener", run)
