"""`bonecraft prove`: what became of an instance, and that nobody changed the ledger that says so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from pipeline.cli.administration import AsJson, Config, local_time, transaction
from pipeline.errors import ConfigurationError
from pipeline.records.ledger import Entry, LedgerEvent
from pipeline.records.proof import Verdict, digest_at, entries_about, first_received, is_as_written, verify
from pipeline.settings import load_settings
from pipeline.store import open_store

app = typer.Typer(add_completion=False)

Uid = Annotated[str | None, typer.Argument(metavar="SOP_INSTANCE_UID", help="Of an image or of a result.")]
All = Annotated[bool, typer.Option("--all", help="Verify the whole ledger instead.")]
Head = Annotated[
    str | None,
    typer.Option(metavar="NUMBER:DIGEST", help="What an earlier --all printed: verify that it still is in the chain."),
]


@app.command()
def prove(
    uid: Uid = None, everything: All = False, head: Head = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Show what became of an instance: received, used, results, delivered, committed; or verify the whole ledger.

    Each entry is compared with its seal, and the received bytes in the store with the digest of that time. Exit 1:
    something is not as it was written.
    """
    if (uid is None) == (not everything):
        raise ConfigurationError("say what: bonecraft prove SOP_INSTANCE_UID, or bonecraft prove --all")
    sound = _prove_all(config, head, as_json=as_json) if uid is None else _prove_one(config, uid, as_json=as_json)
    if not sound:
        raise typer.Exit(1)


def _prove_one(config: Path | None, uid: str, *, as_json: bool) -> bool:
    with transaction(config) as connection:
        proven = [(entry, is_as_written(connection, entry)) for entry in entries_about(connection, uid)]
        received_at = first_received(connection, uid)
    if not proven:
        raise ConfigurationError(_unknown(uid, received_at))
    kept = _kept(config, (entry for entry, _ in proven))
    if as_json:
        typer.echo(json.dumps([_plain(entry, is_sound, kept) for entry, is_sound in proven], indent=1, default=str))
    else:
        _show(Console(highlight=False), uid, proven, kept)
    return all(is_sound for _, is_sound in proven) and all(kept.values())


def _unknown(uid: str, received_at: datetime | None) -> str:
    if received_at is None:
        return f"the ledger knows nothing of {uid}: it was not acknowledged here"
    received = f"{uid} was received on {local_time(received_at)}, before the ledger began: no entry tells of it"
    return f"{received}; that none was removed shows in bonecraft prove --all"


def _kept(config: Path | None, entries: Iterable[Entry]) -> dict[int, bool]:
    """For each entry that tells of bytes that are to be here: whether the store still has these very bytes."""
    store = open_store(load_settings(config))
    return {entry.id: store.holds(entry.institution_id, entry.facts["digest"]) for entry in _to_be_here(entries)}


def _to_be_here(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Entries that tell of bytes that came in or were made, and that no later entry says were removed."""
    removed: set[tuple[str, str]] = set()
    for entry in sorted(entries, key=lambda entry: entry.id, reverse=True):
        named = (entry.sop_instance_uid, entry.facts.get("digest", ""))
        if entry.event is LedgerEvent.REMOVED:
            removed.add(named)
        elif (
            entry.event in (LedgerEvent.RECEIVED, LedgerEvent.QUARANTINED, LedgerEvent.RESULT) and named not in removed
        ):
            yield entry


def _plain(entry: Entry, is_sound: bool, kept: dict[int, bool]) -> dict[str, Any]:
    return dataclasses.asdict(entry) | {"as_written": is_sound, "bytes_in_store": kept.get(entry.id)}


def _show(console: Console, uid: str, proven: list[tuple[Entry, bool]], kept: dict[int, bool]) -> None:
    told_of = ""
    for entry, is_sound in sorted(proven, key=lambda each: (each[0].sop_instance_uid != uid, each[0].sop_instance_uid)):
        if entry.sop_instance_uid != told_of:
            told_of = entry.sop_instance_uid
            console.print(Text(told_of, style="bold"), soft_wrap=True)
        seal = "not sealed yet" if entry.number is None else f"entry {entry.number}"
        line = f"  {local_time(entry.recorded_at)}  {entry.event}: {sentence(entry)} ({seal})"
        console.print(Text(line), soft_wrap=True)
        if not is_sound:
            console.print(Text("    THIS ENTRY IS NOT AS IT WAS WRITTEN", style="bold red"), soft_wrap=True)
        if kept.get(entry.id) is False:
            console.print(Text("    THE STORE DOES NOT HOLD THESE BYTES ANY MORE", style="bold red"), soft_wrap=True)


def sentence(entry: Entry) -> str:
    """What an entry tells, for people."""
    facts = entry.facts
    match entry.event:
        case LedgerEvent.RECEIVED | LedgerEvent.QUARANTINED:
            called = f", called as {facts['called_ae_title']}" if facts["called_ae_title"] else ""
            sender = f"{facts['calling_ae_title']} {facts['address']}".strip()
            fetched = f", fetched by {facts['fetched_by']}" if "fetched_by" in facts else ""
            what = facts.get("outcome") or f"{facts['problem']}: {facts['reason']}"
            return f"from {sender}{called}{fetched}; {what}; {facts['size']} bytes, SHA-256 {facts['digest']}"
        case LedgerEvent.USED:
            models = ", ".join(f"{name} {version}" for name, version in facts["models"].items())
            return f"by reconstruction {facts['reconstruction']}, {facts['state']}; models: {models or 'none'}"
        case LedgerEvent.RESULT:
            return f"of reconstruction {facts['reconstruction']}; {facts['size']} bytes, SHA-256 {facts['digest']}"
        case LedgerEvent.REMOVED:
            return f"{facts['reason']}; {facts['size']} bytes, SHA-256 {facts['digest']}"
        case LedgerEvent.REPLACED:
            rejected = f"; rejected by {', '.join(facts['rejected_by'])}" if facts["rejected_by"] else ""
            return f"{facts['reason']}; by {', '.join(facts['replaced_by']) or 'nothing'}{rejected}"
        case _:
            others = (f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if name != "peer")
            return f"{facts['peer']}; {', '.join(others)}"


def _prove_all(config: Path | None, head: str | None, *, as_json: bool) -> bool:
    with transaction(config) as connection:
        verdict = verify(connection)
        missing = "" if head is None else _not_in_chain(digest_at(connection, _number(head)), head)
    problem = verdict.broken or missing
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(verdict), "broken": problem}, indent=1))
    else:
        _show_verdict(verdict, problem)
    return not problem


def _number(head: str) -> int:
    number, _, digest = head.partition(":")
    if not number.isdigit() or len(digest) != 64:
        raise ConfigurationError("--head wants what `bonecraft prove --all` printed: NUMBER:DIGEST")
    return int(number)


def _not_in_chain(found: str | None, head: str) -> str:
    number, _, digest = head.partition(":")
    return "" if found == digest else f"the chain does not lead through {number}:{digest} any more"


def _show_verdict(verdict: Verdict, problem: str) -> None:
    if problem:
        typer.echo(f"BROKEN: {problem}")
    typer.echo(f"{verdict.sealed} entries are as they were written, {verdict.unsealed} wait for their seal")
    typer.echo(f"head: {verdict.sealed}:{verdict.head}")
