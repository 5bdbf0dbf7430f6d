"""The process that listens for DICOM associations: `python -m scp_node.listener [--config node.toml]`."""

from __future__ import annotations

import gc
import socketserver
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import ThreadedAssociationServer

from pipeline.addresses import DEFAULT_AE_TITLE
from pipeline.certificates import Validity, node_certificates
from pipeline.database import open_database
from pipeline.errors import ConfigurationError
from pipeline.role import run_role
from pipeline.settings import NodeSettings
from pipeline.store import open_store
from scp_node.commitment import context_for_both_roles
from scp_node.contexts import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MAXIMUM_PDU_BYTES,
    SharedContexts,
    accepted_contexts,
)
from scp_node.handlers import Handlers
from scp_node.incoming import receive_into, sweep
from scp_node.tls import ServerTls, TlsFiles
from scp_node.transport import Door, Server
from scp_node.waiting import REQUEST_SECONDS

SILENCE_SECONDS: Final = 60
"""So long a sender may say nothing before the association is closed."""
DRAIN_SECONDS: Final = 15
SWEEP_SECONDS: Final = 600
WARN_EVERY: Final = timedelta(days=1)
"""So often a certificate that runs out is logged."""

log = structlog.get_logger(__name__)


def run(settings: NodeSettings, stop: threading.Event) -> None:
    """Listen until `stop`; then refuse new associations and let open ones finish.

    Raises:
        ConfigurationError: The port cannot be opened, or the TLS files cannot be read.
    """
    folder = settings.data_folder.absolute() / "incoming"
    receive_into(folder, settings)
    database = open_database(settings)
    handlers = Handlers(
        database=database,
        store=open_store(settings),
        folder=folder,
        settings=settings,
    )
    servers = start_servers(settings, handlers)
    writing = threading.Thread(target=handlers.senders.write_until, args=(stop,), name="senders", daemon=True)
    writing.start()
    gc.freeze()  # what lives as long as the process is not looked through again and again
    log.info("ready", host=settings.dicom_host, ports=[server.server_address[1] for server in servers])
    warned = datetime.min.replace(tzinfo=UTC)
    while True:
        sweep(folder, now=time.time())
        if datetime.now(UTC) - warned >= WARN_EVERY:
            warned = datetime.now(UTC)
            warn_of_expiry(settings, now=warned)
        if stop.wait(SWEEP_SECONDS):
            break
    handlers.gate.refuse_new()
    drain(servers)
    writing.join()
    database.close()


def warn_of_expiry(settings: NodeSettings, *, now: datetime) -> None:
    """Log what certificates of the node run out within 30 days, or cannot be read."""
    try:
        for certificate in node_certificates(settings):
            if certificate.validity(now) is not Validity.VALID:
                log.warning("certificate_expires", reason=certificate.sentence(now))
    except ConfigurationError as error:
        log.warning("certificates_not_read", reason=str(error))


def start_servers(settings: NodeSettings, handlers: Handlers) -> list[ThreadedAssociationServer]:
    """Open the ports, without and with TLS, and take associations, each in threads of its own.

    Raises:
        ConfigurationError: A port cannot be opened, the TLS files cannot be used, or no port is wanted.
    """
    doors: list[tuple[str, int, ServerTls | None]] = []
    if settings.dicom_plain:
        doors.append(("dicom_port", settings.dicom_port, None))
    if settings.tls_certificate is not None:
        doors.append(("dicom_tls_port", settings.dicom_tls_port, ServerTls(TlsFiles.of(settings))))
    if not doors:
        raise ConfigurationError("dicom_plain is false and there is no tls_certificate: nobody could call; set one")
    ae = _application_entity()
    return [_open(ae, settings, handlers, *door) for door in doors]


def accepted_by_listener() -> list[PresentationContext]:
    """Every presentation context that is taken: verification, storage, storage commitment."""
    return [*accepted_contexts(), context_for_both_roles()]


def _application_entity() -> AE:
    """One for all ports, with the same limits."""
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(DEFAULT_AE_TITLE)  # only a default: `access` decides which called AE titles are ours
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = MAXIMUM_PDU_BYTES
    ae.maximum_associations = sys.maxsize  # `places` counts: those that are let in, not every connection
    ae.network_timeout = ae.dimse_timeout = SILENCE_SECONDS
    ae.acse_timeout = REQUEST_SECONDS
    return ae


def _open(
    ae: AE, settings: NodeSettings, handlers: Handlers, setting: str, port: int, tls: ServerTls | None
) -> ThreadedAssociationServer:
    try:
        server = ae.make_server(
            (settings.dicom_host, port),
            contexts=SharedContexts(accepted_by_listener()),
            evt_handlers=handlers.bindings(),
            server_class=Server,
            request_handler=Door.behind(tls, handlers.gate.on_failed_handshake),
        )
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen at {settings.dicom_host}:{port} ({error.strerror}): stop who does, or change {setting}"
        ) from error
    threading.Thread(target=server.serve_forever, name=f"accept {port}", daemon=True).start()
    return server


def drain(servers: Sequence[ThreadedAssociationServer]) -> None:
    """Close the ports; give open associations time to finish, then abort what is left."""
    for server in servers:
        socketserver.BaseServer.shutdown(server)
        server.server_close()
    give_up = time.monotonic() + DRAIN_SECONDS
    while any(map(_is_open, _associations(servers))) and time.monotonic() < give_up:
        time.sleep(0.05)
    for association in _associations(servers):
        if association.is_established:
            association.abort()
        elif association.dul.socket is not None:
            association.dul.socket.close()
    log.info("drained")


def _is_open(association: Association) -> bool:
    """Also where the caller has just been told so, and our own thread does not know yet."""
    has_ended = association.is_rejected or association.is_aborted or association.is_released
    return association.is_established or (association.requestor.primitive is not None and not has_ended)


def _associations(servers: Sequence[ThreadedAssociationServer]) -> list[Association]:
    return [association for server in servers for association in server.active_associations]


if __name__ == "__main__":
    run_role("listener", run)
