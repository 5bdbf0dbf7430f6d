"""A listener of the test's own, in this process, on a free port."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from pynetdicom.transport import ThreadedAssociationServer
from sqlalchemy import insert

from pipeline.database import Database
from pipeline.records import tables
from pipeline.settings import NodeSettings
from pipeline.store import Store, open_store
from scp_node import listener
from scp_node.handlers import Handlers
from scp_node.incoming import receive_into
from tests.peers import free_port


@dataclass(frozen=True, kw_only=True)
class RunningListener:
    """Where it is, and what it writes to."""

    port: int
    tls_port: int
    incoming: Path
    store: Store
    handlers: Handlers
    servers: Sequence[ThreadedAssociationServer]

    @property
    def connections(self) -> int:
        """How many associations there are, established or not."""
        return sum(len(server.active_associations) for server in self.servers)


@pytest.fixture
def peers(database: Database, institution_id: UUID) -> None:
    """MODALITY may send, PACS may not, both from loopback."""
    with database.begin() as connection:
        for title, sends in (("MODALITY", True), ("PACS", False)):
            peer = {"ae_title": title, "host": "127.0.0.1", "port": 104, "allow_from": ["127.0.0.0/8"], "sends": sends}
            connection.execute(insert(tables.peers).values(institution_id=institution_id, **peer))


@pytest.fixture
def start_listener(database: Database, peers: None, tmp_path: Path) -> Iterator[Callable[..., RunningListener]]:
    """Starts one with the given settings; all stop at the end of the test."""
    started = []

    def start(**given: object) -> RunningListener:
        settings = NodeSettings(
            **{
                "data_folder": tmp_path,
                "dicom_host": "127.0.0.1",
                "dicom_port": free_port(),
                "dicom_tls_port": free_port(),
                **given,
            }
        )
        folder, store = settings.data_folder / "incoming", open_store(settings)
        receive_into(folder, settings)
        handlers = Handlers(database=database, store=store, folder=folder, settings=settings)
        servers = listener.start_servers(settings, handlers)
        started.append(servers)
        return RunningListener(
            port=settings.dicom_port,
            tls_port=settings.dicom_tls_port,
            incoming=folder,
            store=store,
            handlers=handlers,
            servers=servers,
        )

    yield start
    for servers in started:
        if servers[0].socket.fileno() != -1:
            listener.drain(servers)


@pytest.fixture
def running(start_listener: Callable[..., RunningListener]) -> RunningListener:
    """A listener that takes everything it can."""
    return start_listener(minimum_free_megabytes=0)
