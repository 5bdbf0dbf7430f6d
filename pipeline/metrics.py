"""What a monitoring system asks for, as text (Prometheus exposition format 0.0.4): titles, slugs, no patient data."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from pipeline.certificates import node_certificates
from pipeline.errors import ConfigurationError
from pipeline.records import associations, ledger, sources
from pipeline.records.arrivals import silent_senders
from pipeline.records.tables import (
    arrivals,
    deliveries,
    destinations,
    fetches,
    institutions,
    ledger_unsealed,
    open_associations,
    peers,
    quarantine,
    reconstructions,
    rejected_attempts,
    studies,
)
from pipeline.settings import NodeSettings

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS_PER_DAY: Final = 86_400

Sample = tuple[dict[str, str], float]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: Without the prefix that all have.
        kind: `gauge` or `counter`.
        meaning: A sentence.
        samples: Labels and value of each.
    """

    name: str
    kind: str
    meaning: str
    samples: tuple[Sample, ...]


def metrics_page(connection: Connection, settings: NodeSettings, *, now: datetime) -> str:
    """All metrics as text."""
    return "".join(line + "\n" for metric in _metrics(connection, settings, now) for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    name = f"bonecraft_{metric.name}"
    yield f"# HELP {name} {metric.meaning}"
    yield f"# TYPE {name} {metric.kind}"
    for labels, value in metric.samples:
        said = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{said}}} {value:.10g}" if said else f"{name} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _metrics(connection: Connection, settings: NodeSettings, now: datetime) -> Iterator[Metric]:
    silent = silent_senders(connection, now=now)  # which counts what has arrived
    yield from _reception(connection, now)
    yield from _work(connection, now)
    yield from _deliveries(connection)
    yield from _fetching(connection)
    yield _metric("sender_silent", "Senders that are silent though they usually are not.", _ones(silent))
    number, _ = ledger.head(connection)
    yield _metric("ledger_sealed_entries", "The ledger is sealed up to this entry.", _single(number))
    unsealed = connection.execute(select(func.count()).select_from(ledger_unsealed)).scalar_one()
    yield _metric("ledger_unsealed_entries", "Entries that wait for their seal.", _single(unsealed))
    yield from _machine(settings, now)


def _reception(connection: Connection, now: datetime) -> Iterator[Metric]:
    columns = arrivals.c
    images = _by(institutions.c.slug, columns.calling_ae_title, value=func.sum(columns.images)).where(
        institutions.c.id == columns.institution_id
    )
    received = _read(connection, images, "institution", "peer")
    yield _metric("images_received_total", "Images that were received and acknowledged.", received, kind="counter")
    open_ones = _by(institutions.c.slug, open_associations.c.calling_ae_title, value=func.count()).where(
        institutions.c.id == open_associations.c.institution_id,
        open_associations.c.seen_at >= now - associations.FORGOTTEN_AFTER,
    )
    now_open = _read(connection, open_ones, "institution", "peer")
    yield _metric("associations", "Associations that senders have open.", now_open)
    rejected = _by(rejected_attempts.c.reason, value=func.sum(rejected_attempts.c.times))
    yield _metric("rejected_attempts", "Attempts in the list of rejected ones.", _read(connection, rejected, "reason"))
    kept = _by(quarantine.c.problem, value=func.count())
    yield _metric("quarantined_files", "Files in quarantine.", _read(connection, kept, "problem"))


def _work(connection: Connection, now: datetime) -> Iterator[Metric]:
    in_state = _by(studies.c.state, value=func.count())
    yield _metric("studies", "Studies by their state.", _read(connection, in_state, "state"))
    jobs = _by(reconstructions.c.state, value=func.count())
    yield _metric("reconstructions", "Reconstructions by their state.", _read(connection, jobs, "state"))
    took = func.extract("epoch", reconstructions.c.finished_at - reconstructions.c.started_at)
    finished = _by(reconstructions.c.state, value=func.sum(took)).where(
        reconstructions.c.finished_at.is_not(None), reconstructions.c.started_at.is_not(None)
    )
    seconds = _read(connection, finished, "state")
    yield _metric("reconstruction_seconds", "Time that the last attempts of all finished ones took.", seconds)
    oldest = select(func.min(reconstructions.c.queued_at)).where(reconstructions.c.state == "queued")
    since = connection.execute(oldest).scalar_one()
    waited = (now - since).total_seconds() if since else 0
    yield _metric("queue_wait_seconds", "So long the oldest reconstruction in the queue has waited.", _single(waited))


def _deliveries(connection: Connection) -> Iterator[Metric]:
    of_peer = (institutions.c.slug, peers.c.ae_title)
    counted = _by(*of_peer, deliveries.c.state, value=func.count()).where(
        institutions.c.id == peers.c.institution_id, peers.c.id == deliveries.c.peer_id
    )
    states = _read(connection, counted, "institution", "peer", "state")
    yield _metric("deliveries", "Deliveries by their state.", states)
    held_back = select(func.count()).where(deliveries.c.state == "pending", deliveries.c.own_fault_since.is_not(None))
    ours = connection.execute(held_back).scalar_one()
    yield _metric("deliveries_held_back", "Deliveries that wait because of this node itself.", _single(ours))
    away = _by(*of_peer, value=func.count()).where(
        institutions.c.id == peers.c.institution_id, peers.c.id == destinations.c.peer_id
    )
    unreachable = _read(connection, away, "institution", "peer")
    yield _metric("destination_unreachable", "Peers that cannot be reached: their circuit is open.", unreachable)


def _machine(settings: NodeSettings, now: datetime) -> Iterator[Metric]:
    free = shutil.disk_usage(settings.data_folder).free
    yield _metric("disk_free_bytes", "Free space where the data folder is.", _single(free))
    try:
        left = [
            ({"file": str(each.path.name), "subject": each.subject}, (each.not_after - now).total_seconds())
            for each in node_certificates(settings)
        ]
    except ConfigurationError:  # which the doctor and the status tell
        left = []
    days = [(labels, seconds / SECONDS_PER_DAY) for labels, seconds in left]
    yield _metric("certificate_days_left", "Days until the node's certificates expire.", days)


def _fetching(connection: Connection) -> Iterator[Metric]:
    asked = _by(fetches.c.state, value=func.count())
    yield _metric("fetches", "What peers were asked for, by its state.", _read(connection, asked, "state"))
    known = [({"institution": each.institution, "source": each.name}, each) for each in sources.lines(connection)]
    taken = [(labels, float(each.taken)) for labels, each in known]
    yield _metric("source_images_total", "Images that were taken from a source.", taken, kind="counter")
    read = [(labels, float(each.last_change or 0)) for labels, each in known]
    yield _metric("source_last_change", "The last change of a source's feed that was read.", read)
    away = [(labels, float(bool(each.problem))) for labels, each in known]
    yield _metric("source_away", "Sources that cannot be read.", away)


def _metric(name: str, meaning: str, samples: Iterable[Sample], *, kind: str = "gauge") -> Metric:
    return Metric(name=name, kind=kind, meaning=meaning, samples=tuple(samples))


def _single(value: float) -> list[Sample]:
    return [({}, float(value))]


def _ones(silent: Iterable[Any]) -> list[Sample]:
    return [({"institution": each.institution, "peer": each.peer}, 1.0) for each in silent]


def _by(*columns: Any, value: Any) -> Select[Any]:  # noqa: ANN401 - SQL expressions
    return select(*columns, value).group_by(*columns).order_by(*columns)


def _read(connection: Connection, query: Select[Any], *labels: str) -> list[Sample]:
    rows = connection.execute(query)
    return [(dict(zip(labels, map(str, row), strict=False)), float(row[-1])) for row in rows]
