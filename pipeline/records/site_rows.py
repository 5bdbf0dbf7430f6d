"""How the values that administrators set lie in the tables: read into `pipeline.site_values`, and written back.

No history here, and no locks: `pipeline.records.admin` is the door.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipeline.errors import ConfigurationError
from pipeline.passwords import digest_of_token
from pipeline.records import rules, studies, tables, tokens, users
from pipeline.site_values import (
    InstitutionValue,
    PeerValue,
    RulesValue,
    SourceValue,
    Subject,
    SubjectKind,
    TokenValue,
    UserValue,
    Value,
)


def values_of_institution(connection: Connection, slug: str) -> dict[Subject, Value]:
    """The institution itself and everything that is set below it; empty where there is no such institution."""
    row = connection.execute(select(tables.institutions).where(tables.institutions.c.slug == slug)).one_or_none()
    if row is None:
        return {}
    institution = InstitutionValue(
        **_columns(row, InstitutionValue), called_ae_titles=_called_ae_titles(connection, row.id)
    )
    found: dict[Subject, Value] = {Subject.of_institution(slug): institution}
    for read in (_peers, _rules, _users, _sources, _tokens):
        found |= read(connection, slug, row.id)
    return found


def write_value(connection: Connection, subject: Subject, value: Value, *, is_new: bool) -> None:
    """Make the rows say `value`.

    Raises:
        sqlalchemy.exc.IntegrityError: Another institution has the title already.
        InputError: Another institution has the user already.
        ConfigurationError: A user's verification was to be taken back, or a rule names a peer that is not there.
    """
    match value:
        case InstitutionValue():
            _write_institution(connection, subject.institution, value)
        case PeerValue():
            _write_peer(connection, subject, value)
        case RulesValue():
            _write_rules(connection, subject, value)
        case UserValue():
            if is_new:
                _add_user(connection, subject, value)
            else:
                _write_user(connection, subject, value)
        case SourceValue():
            _write_source(connection, subject, value)
        case TokenValue():
            _write_token(connection, subject, value)


def remove_value(connection: Connection, subject: Subject) -> None:
    """Remove the rows.

    Raises:
        sqlalchemy.exc.IntegrityError: Something still refers to them.
        ConfigurationError: Results still wait to be delivered to the peer, or rules send to it.
        InputError: The user has uploaded studies.
    """
    match subject.kind:
        case SubjectKind.INSTITUTION:
            _remove_institution(connection, subject.institution)
        case SubjectKind.PEER:
            _remove_peer(connection, subject)
        case SubjectKind.RULES:
            _remove_rules(connection, subject)
        case SubjectKind.USER:
            users.remove_user(connection, user_id=_user(connection, subject).id)
        case SubjectKind.SOURCE:
            connection.execute(delete(tables.sources).where(_is_source(connection, subject)))
        case SubjectKind.TOKEN:
            connection.execute(delete(tables.tokens).where(_is_token(connection, subject)))


def _of_institution(table: Table, institution_id: UUID) -> Select[Any]:
    return select(table).where(table.c.institution_id == institution_id)


def _institution_id(connection: Connection, slug: str) -> UUID:
    column = tables.institutions.c.id
    found: UUID = connection.execute(select(column).where(tables.institutions.c.slug == slug)).scalar_one()
    return found


def _database_time(connection: Connection) -> datetime:
    now: datetime = connection.execute(select(func.now())).scalar_one()
    return now


def _columns(row: Row[Any], kind: type[Value]) -> dict[str, Any]:
    """The entries of a value that lie in its own row."""
    found = {name: getattr(row, name) for name in kind.model_fields if name in row._fields}
    return {name: tuple(sorted(said, key=str)) if isinstance(said, list) else said for name, said in found.items()}


def _called_ae_titles(connection: Connection, institution_id: UUID) -> tuple[str, ...]:
    rows = connection.execute(_of_institution(tables.called_ae_titles, institution_id))
    return tuple(sorted(row.ae_title for row in rows))


def _write_institution(connection: Connection, slug: str, value: InstitutionValue) -> None:
    said = value.model_dump(mode="json", exclude={"called_ae_titles"})
    statement = upsert(tables.institutions).values(slug=slug, **said)
    connection.execute(statement.on_conflict_do_update(index_elements=[tables.institutions.c.slug], set_=said))
    institution_id = _institution_id(connection, slug)
    studies.look_at_waiting(connection, institution_id)
    titles = tables.called_ae_titles
    connection.execute(delete(titles).where(titles.c.institution_id == institution_id))
    for title in value.called_ae_titles:
        connection.execute(insert(titles).values(ae_title=title, institution_id=institution_id))


def _remove_institution(connection: Connection, slug: str) -> None:
    institution_id = _institution_id(connection, slug)
    titles = tables.called_ae_titles
    connection.execute(delete(titles).where(titles.c.institution_id == institution_id))
    connection.execute(delete(tables.institutions).where(tables.institutions.c.id == institution_id))


def _peers(connection: Connection, slug: str, institution_id: UUID) -> dict[Subject, Value]:
    rows = connection.execute(_of_institution(tables.peers, institution_id).order_by(tables.peers.c.ae_title))
    return {Subject.of_peer(slug, row.ae_title): PeerValue.model_construct(**_columns(row, PeerValue)) for row in rows}


def _write_peer(connection: Connection, subject: Subject, value: PeerValue) -> None:
    """In place where the peer is known, so that its deliveries stay its own."""
    peers = tables.peers
    said = value.model_dump(mode="json")
    key = {"institution_id": _institution_id(connection, subject.institution), "ae_title": subject.name}
    statement = upsert(peers).values(**key, **said)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[peers.c.institution_id, peers.c.ae_title], set_=said)
    )


def _remove_peer(connection: Connection, subject: Subject) -> None:
    peers, deliveries = tables.peers, tables.deliveries
    institution_id = _institution_id(connection, subject.institution)
    key = (peers.c.institution_id == institution_id) & (peers.c.ae_title == subject.name)
    counted = connection.execute(
        select(deliveries.c.state, func.count().label("number"))
        .select_from(deliveries.join(peers))
        .where(key, deliveries.c.state.in_(("pending", "sent", "dead")))
        .group_by(deliveries.c.state)
    )
    count = {row.state: row.number for row in counted}
    waiting, dead = count.get("pending", 0) + count.get("sent", 0), count.get("dead", 0)
    if waiting:
        given_up = f" ({dead} more were given up, and would be forgotten with it)" if dead else ""
        raise ConfigurationError(
            f"{subject} cannot be removed: {waiting} of its deliveries wait to be sent or committed to{given_up}; "
            "remove it when `bonecraft status` shows them delivered or given up"
        )
    if naming := rules.naming_peer(connection, institution_id, subject.name):
        raise ConfigurationError(
            f"{subject} cannot be removed: the rules {', '.join(map(repr, naming))} send to it; change or remove them "
            "first with `bonecraft rules`"
        )
    connection.execute(delete(peers).where(key))


def _rules(connection: Connection, slug: str, institution_id: UUID) -> dict[Subject, Value]:
    row = connection.execute(_of_institution(tables.rules, institution_id)).one_or_none()
    return {} if row is None else {Subject.of_rules(slug): RulesValue.model_validate({"rules": row.in_order})}


def _write_rules(connection: Connection, subject: Subject, value: RulesValue) -> None:
    institution_id = _institution_id(connection, subject.institution)
    rules.check_peers(connection, institution_id, value.rules)
    said = {"in_order": value.to_json()["rules"]}
    statement = upsert(tables.rules).values(institution_id=institution_id, **said)
    connection.execute(statement.on_conflict_do_update(index_elements=[tables.rules.c.institution_id], set_=said))


def _remove_rules(connection: Connection, subject: Subject) -> None:
    institution_id = _institution_id(connection, subject.institution)
    connection.execute(delete(tables.rules).where(tables.rules.c.institution_id == institution_id))


def _users(connection: Connection, slug: str, institution_id: UUID) -> dict[Subject, Value]:
    return {
        Subject.of_user(slug, user.email): UserValue(role=user.role, verified=user.verified, disabled=user.disabled)
        for user in users.list_users(connection, institution_id=institution_id)
    }


def _user(connection: Connection, subject: Subject) -> users.User:
    found = users.find_user(connection, email=subject.name)
    if found is None:
        raise ConfigurationError(f"there is no {subject}")
    return found


def _add_user(connection: Connection, subject: Subject, value: UserValue) -> None:
    now = _database_time(connection)
    user_id = users.add_user(
        connection,
        institution_id=_institution_id(connection, subject.institution),
        email=subject.name,
        role=value.role,
        verified_at=now if value.verified else None,
    )
    if value.disabled:
        users.disable_user(connection, user_id=user_id, now=now)


def _write_user(connection: Connection, subject: Subject, value: UserValue) -> None:
    user = _user(connection, subject)
    now = _database_time(connection)
    if user.verified and not value.verified:
        raise ConfigurationError(f"{subject} was verified, which cannot be taken back; disable the account instead")
    if value.verified and not user.verified:
        users.verify_user(connection, user_id=user.id, now=now)
    if value.role != user.role:
        users.set_role(connection, user_id=user.id, role=value.role)
    if value.disabled and not user.disabled:
        users.disable_user(connection, user_id=user.id, now=now)
    if user.disabled and not value.disabled:
        users.enable_user(connection, user_id=user.id)


def _sources(connection: Connection, slug: str, institution_id: UUID) -> dict[Subject, Value]:
    rows = connection.execute(_of_institution(tables.sources, institution_id).order_by(tables.sources.c.name))
    entries = SourceValue.model_fields
    return {
        Subject.of_source(slug, row.name): SourceValue.model_construct(**{name: getattr(row, name) for name in entries})
        for row in rows
    }


def _is_source(connection: Connection, subject: Subject) -> ColumnElement[bool]:
    institution_id = _institution_id(connection, subject.institution)
    return (tables.sources.c.institution_id == institution_id) & (tables.sources.c.name == subject.name)


def _write_source(connection: Connection, subject: Subject, value: SourceValue) -> None:
    """In place where the source is known, so that its change feed is read on from where it was."""
    sources = tables.sources
    said = value.model_dump()
    key = {"institution_id": _institution_id(connection, subject.institution), "name": subject.name}
    statement = upsert(sources).values(**key, **said)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[sources.c.institution_id, sources.c.name], set_=said)
    )


def _tokens(connection: Connection, slug: str, institution_id: UUID) -> dict[Subject, Value]:
    rows = connection.execute(_of_institution(tables.tokens, institution_id).order_by(tables.tokens.c.name))
    return {Subject.of_token(slug, row.name): TokenValue.model_construct(**_columns(row, TokenValue)) for row in rows}


def _is_token(connection: Connection, subject: Subject) -> ColumnElement[bool]:
    institution_id = _institution_id(connection, subject.institution)
    return (tables.tokens.c.institution_id == institution_id) & (tables.tokens.c.name == subject.name)


def _write_token(connection: Connection, subject: Subject, value: TokenValue) -> None:
    """A new one has a secret that nobody knows, until it is made anew."""
    said = value.model_dump(mode="json")
    key = {"institution_id": _institution_id(connection, subject.institution), "name": subject.name}
    nobody_knows = digest_of_token(tokens.new_secret())
    statement = upsert(tables.tokens).values(**key, **said, token_digest=nobody_knows)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[tables.tokens.c[name] for name in key], set_=said)
    )
