"""Who may call: institutions by their called AE titles, and their peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, func, select

from pipeline.errors import InputError
from pipeline.records.tables import called_ae_titles, institutions, peers


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One application entity of an institution.

    Attributes:
        id: Its row.
        institution_id: Whose it is.
        ae_title: Its AE title.
        host: Where it listens.
        port: Where it listens.
        allow_from: Networks (CIDR) or addresses that it may call from; empty: only from `host`.
        sends: Whether it may store instances here.
        receives: Whether it gets the results.
        commitment: Whether it is asked to commit to what it got: `auto` (where it can) or `never`.
        tls: Whether it is called over TLS.
        requires_certificate: Whether it must show a certificate when it calls.
        asked_for: What it is asked for by the node itself: one of `ASKED_FOR_SETTINGS`.
        certificates: SHA-256 fingerprints of its own certificates or of their CAs; empty: any trusted one passes.
        maximum_associations: So many at a time it may have open.
        silence_alarm: Whether it is told when it sends nothing for unusually long.
        dicomweb_url: Its DICOMweb service, where it is called instead of by DIMSE.
        dicomweb_user: As whom we log in there.
        dicomweb_password_file: The name of the file with the password.
        dicomweb_token_file: The name of the file with the token that we show instead.
        dicomweb_ca_file: The name of the file with the CA that its certificate comes from.
    """

    id: UUID
    institution_id: UUID
    ae_title: str
    host: str
    port: int
    allow_from: tuple[str, ...] = ()
    sends: bool = False
    receives: bool = False
    commitment: str = "auto"
    tls: bool = False
    requires_certificate: bool = False
    asked_for: str = "nothing"
    certificates: tuple[str, ...] = ()
    maximum_associations: int = 32
    silence_alarm: bool = True
    dicomweb_url: str = ""
    dicomweb_user: str = ""
    dicomweb_password_file: str = ""
    dicomweb_token_file: str = ""
    dicomweb_ca_file: str = ""

    @property
    def is_called(self) -> bool:
        """Whether the node calls it by itself: with results, or for images."""
        return self.receives or self.asked_for != "nothing"


def institution_called(connection: Connection, called_ae_title: str) -> UUID | None:
    """The institution that answers to this AE title."""
    found = select(called_ae_titles.c.institution_id).where(called_ae_titles.c.ae_title == called_ae_title)
    institution: UUID | None = connection.execute(found).scalar_one_or_none()
    return institution


def find_peer(connection: Connection, institution_id: UUID, ae_title: str) -> Peer | None:
    """The institution's peer of this AE title."""
    wanted = (peers.c.institution_id == institution_id) & (peers.c.ae_title == ae_title)
    row = connection.execute(select(peers).where(wanted)).mappings().one_or_none()
    return None if row is None else as_peer(row)


def get_peer(connection: Connection, peer_id: UUID) -> Peer | None:
    """The peer of this row; None where it was removed."""
    row = connection.execute(select(peers).where(peers.c.id == peer_id)).mappings().one_or_none()
    return None if row is None else as_peer(row)


def every_peer(connection: Connection) -> tuple[tuple[str, Peer], ...]:
    """All peers, each with its institution's slug, in their order."""
    query = select(institutions.c.slug, peers).join_from(peers, institutions)
    rows = connection.execute(query.order_by(institutions.c.slug, peers.c.ae_title)).mappings()
    return tuple((row["slug"], as_peer(row)) for row in rows)


def named_peer(connection: Connection, name: str) -> Peer:
    """The peer of that AE title, or INSTITUTION/TITLE where several institutions have one.

    Raises:
        InputError: There is none, or there are several.
    """
    known = {f"{slug}/{peer.ae_title}": peer for slug, peer in every_peer(connection)}
    found = [full for full in known if name in (full, full.partition("/")[2])]
    if len(found) != 1:
        there_are = ", ".join(known) or "none yet"
        raise InputError(f"{'several peers' if found else 'no peer'} {name!r}; there are: {there_are}")
    return known[found[0]]


def slug_of(connection: Connection, institution_id: UUID) -> str:
    """The short name of an institution."""
    found: str = connection.execute(select(institutions.c.slug).where(institutions.c.id == institution_id)).scalar_one()
    return found


def answers_refusals(connection: Connection, institution_id: UUID) -> bool:
    """Whether the institution wants a report and a picture in studies that are refused."""
    wanted = select(institutions.c.answers_refusals).where(institutions.c.id == institution_id)
    return bool(connection.execute(wanted).scalar_one())


def receiving_peers(connection: Connection, institution_id: UUID) -> tuple[str, ...]:
    """The AE titles of those that get the institution's results."""
    receives = (peers.c.institution_id == institution_id, peers.c.receives)
    return tuple(connection.execute(select(peers.c.ae_title).where(*receives).order_by(peers.c.ae_title)).scalars())


def institution_of(connection: Connection, slug: str) -> UUID:
    """The institution of that short name."""
    found: UUID = connection.execute(select(institutions.c.id).where(institutions.c.slug == slug)).scalar_one()
    return found


def first_called_ae_title(connection: Connection, institution_id: UUID) -> str | None:
    """The AE title under which the node calls this institution's peers: the first of those it answers to, if any."""
    found = select(func.min(called_ae_titles.c.ae_title)).where(called_ae_titles.c.institution_id == institution_id)
    title: str | None = connection.execute(found).scalar_one()
    return title


def called_ae_titles_by_institution(connection: Connection) -> dict[str, list[str]]:
    """The AE titles that each institution answers to, by the institution's name."""
    joined = institutions.outerjoin(called_ae_titles)
    rows = connection.execute(
        select(institutions.c.name, called_ae_titles.c.ae_title)
        .select_from(joined)
        .order_by(institutions.c.name, called_ae_titles.c.ae_title)
    )
    titles: dict[str, list[str]] = {}
    for name, title in rows:
        titles.setdefault(name, []).extend([title] if title else [])
    return titles


def as_peer(row: RowMapping) -> Peer:
    """A row that holds the columns of `peers`."""
    said: dict[str, Any] = {}
    for name in Peer.__dataclass_fields__:
        said[name] = tuple(row[name]) if isinstance(row[name], list) else row[name]
    return Peer(**said)
