"""How a peer of the records is reached for pulling, and where what it sends goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.addresses import DEFAULT_AE_TITLE
from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.peer_secrets import PeerSecrets
from pipeline.records.directory import Peer, first_called_ae_title, slug_of
from pipeline.settings import NodeSettings
from pipeline.store import Store
from scp_node.dicomweb import web_target_of
from scp_node.incoming import receive_into
from scp_node.peer import target_of
from scp_node.pull import Archive, DimseArchive, Intake
from scp_node.pull_web import WebArchive
from scp_node.tls import TlsFiles


@dataclass(frozen=True, kw_only=True)
class Line:
    """To a peer that is pulled from."""

    archive: Archive
    intake: Intake


@dataclass(frozen=True, kw_only=True)
class Lines:
    """To every peer of the node.

    Attributes:
        database: The node's records.
        store: Where what is pulled goes.
        settings: The node's.
        clock: What time it is.
    """

    database: Database
    store: Store
    settings: NodeSettings
    clock: Clock = utc_now

    @property
    def folder(self) -> Path:
        """Where datasets lie while they come in."""
        return self.settings.data_folder.absolute() / "incoming"

    def open(self) -> None:
        """Have what comes by C-GET written to files of the store's file system, in this process from now on."""
        receive_into(self.folder, self.settings)

    def to(self, peer: Peer) -> Line:
        """To this peer, as its settings say.

        Raises:
            TransientError: The records cannot be asked.
            ConfigurationError: A file that its settings name cannot be read.
        """
        with self.database.begin() as connection:
            calling = first_called_ae_title(connection, peer.institution_id) or DEFAULT_AE_TITLE
            institution = slug_of(connection, peer.institution_id)
        intake = Intake(
            database=self.database,
            store=self.store,
            folder=self.folder,
            minimum_free_megabytes=self.settings.minimum_free_megabytes,
            maximum_dataset_megabytes=self.settings.maximum_dataset_megabytes,
            institution_id=peer.institution_id,
            from_title=peer.ae_title,
            to_title=calling,
            address=peer.host,
            clock=self.clock,
        )
        archive = archive_of(self.settings, peer, institution=institution, calling=calling)
        return Line(archive=archive, intake=intake)


def archive_of(settings: NodeSettings, peer: Peer, *, institution: str, calling: str) -> Archive:
    """How a peer is asked: over DICOMweb where it has that, as its results go there, too; else by DIMSE.

    Args:
        settings: The node's.
        peer: Whom to ask.
        institution: The slug of its institution.
        calling: As whom we ask.

    Raises:
        ConfigurationError: A file that its settings name cannot be read.
    """
    tls = TlsFiles.of(settings)
    if peer.dicomweb_url:
        secrets = PeerSecrets.of(settings)
        return WebArchive(target=web_target_of(peer, institution, secrets=secrets, tls=tls))
    return DimseArchive(
        target=target_of(peer, tls),
        calling=calling,
        listener_port=settings.dicom_port if settings.dicom_plain else settings.dicom_tls_port,
        may_send=peer.sends,
    )
