"""The node looks at itself: database, disk, queue, models, certificates. No network, no patient data."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from pipeline.certificates import Validity, key_fits, read_certificates
from pipeline.clock import Clock, utc_now
from pipeline.clock_discipline import is_kept_in_step
from pipeline.database import Database, open_database
from pipeline.disk_space import BYTES_PER_MEGABYTE
from pipeline.errors import BonecraftError, ConfigurationError
from pipeline.finding import Finding, ill, well
from pipeline.manifest import ModelEntry, bundled_models_folder, read_manifest
from pipeline.migrations import is_current
from pipeline.postgres_checks import check_postgres
from pipeline.records.arrivals import silent_senders
from pipeline.records.status import Snapshot, snapshot
from pipeline.settings import NodeSettings

LONG_WAIT: Final = timedelta(hours=1)
CLOCKS_APART: Final = timedelta(seconds=5)


def check_node(settings: NodeSettings, *, clock: Clock = utc_now) -> Iterator[Finding]:
    """Everything that can be seen without the network."""
    yield from _check_database(settings, clock)
    yield from _check_clock()
    yield _check_disk(settings)
    yield from _check_models(settings)
    yield from _check_certificates(settings, clock())


def _check_database(settings: NodeSettings, clock: Clock) -> Iterator[Finding]:
    try:
        with closing(open_database(settings)) as database:
            yield from _look_into(database, clock)
    except BonecraftError as error:
        yield ill("database", str(error))


def _look_into(database: Database, clock: Clock) -> Iterator[Finding]:
    with database.begin() as connection:
        if not is_current(connection):
            yield ill(
                "database", "its tables are of another version: restart the node here, which brings them up to date"
            )
            return
        theirs: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        apart = abs(clock() - theirs)
        seen = snapshot(connection)
        silent = silent_senders(connection, now=clock())
        settings = list(check_postgres(connection))
    yield well("database", "answers, and its tables are of this version")
    yield from settings
    if apart > CLOCKS_APART:
        seconds = f"{apart.total_seconds():.0f} s"
        yield ill("clock", f"this machine and the database are {seconds} apart: let both follow NTP")
    else:
        yield well("clock", "this machine and the database agree")
    yield from _check_queue(seen, clock())
    for sender in silent:
        off = f"bonecraft peers set --institution {sender.institution} --ae-title {sender.peer} --no-silence-alarm"
        yield ill("silence", f"{sender.sentence}: see whether it works; if it rests, {off}")


def _check_clock() -> Iterator[Finding]:
    """Whether this machine's clock follows the world's; nothing where the system does not say."""
    in_step = is_kept_in_step()
    if in_step:
        yield well("NTP", "this machine's clock is kept in step")
    elif in_step is not None:
        by = "let chrony or systemd-timesyncd run here, or on the machine that this container runs on"
        yield ill("NTP", f"nothing keeps this machine's clock in step: {by}")


def _check_queue(seen: Snapshot, now: datetime) -> Iterator[Finding]:
    queued = seen.reconstructions.get("queued", 0)
    if seen.oldest_queued_at is not None and now - seen.oldest_queued_at > LONG_WAIT:
        since = f"{seen.oldest_queued_at:%Y-%m-%d %H:%M} UTC"
        yield ill("queue", f"{queued} wait, the oldest since {since}: start the worker here, or raise workers")
    else:
        yield well("queue", f"{queued} reconstructions wait, {seen.deliveries.get('pending', 0)} deliveries")
    for fault in seen.own_faults:
        since = f"{fault.since:%Y-%m-%d %H:%M} UTC"
        yield ill(
            "delivery", f"{fault.waiting} results cannot be sent since {since}, and the fault is here: {fault.problem}"
        )
    dead, failed = seen.deliveries.get("dead", 0), seen.to_rerun
    if dead or failed:
        yield ill(
            "dead letters",
            f"{dead} deliveries and {failed} reconstructions were given up: bonecraft status says why, "
            "then bonecraft resend ID or bonecraft rerun ID",
        )
    else:
        yield well("dead letters", "none")


def _check_disk(settings: NodeSettings) -> Finding:
    try:
        free = shutil.disk_usage(settings.data_folder).free // BYTES_PER_MEGABYTE
    except OSError as error:
        return ill("disk", f"{settings.data_folder} cannot be read ({error.strerror}): correct data_folder here")
    if free < settings.minimum_free_megabytes:
        minimum = settings.minimum_free_megabytes
        return ill(
            "disk", f"{free} MB free, below minimum_free_megabytes = {minimum}: nothing is taken in; add space here"
        )
    return well("disk", f"{free} MB free")


def _check_models(settings: NodeSettings) -> Iterator[Finding]:
    folder = settings.models_folder or bundled_models_folder()
    try:
        entries = read_manifest(folder)
    except ConfigurationError as error:
        yield ill("models", str(error))
        return
    wrong = [entry.name for entry in entries if not _is_the_one(folder / entry.file, entry)]
    for name in wrong:
        yield ill(f"model {name}", f"its file in {folder} is missing or not the one of the manifest: restore it here")
    if not wrong:
        yield well("models", f"{len(entries)} files have the digests of the manifest")


def _is_the_one(path: Path, entry: ModelEntry) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
    except OSError:
        return False


def _check_certificates(settings: NodeSettings, now: datetime) -> Iterator[Finding]:
    if settings.tls_certificate is None:
        return
    try:
        if settings.tls_key is None or not key_fits(settings.tls_certificate, settings.tls_key):
            yield ill("certificate", "tls_key does not belong to tls_certificate: correct one of them here")
        for path in (settings.tls_certificate, settings.tls_trusted_cas):
            for each in read_certificates(path) if path is not None else ():
                make = well if each.validity(now) is Validity.VALID else ill
                yield make("CA" if each.is_ca else "certificate", each.sentence(now))
    except ConfigurationError as error:
        yield ill("certificate", str(error))
