"""Metrics: how the node is, for a monitoring system that shows the token."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert, select

from pipeline.certificate_authority import Pair, issue, make_authority
from pipeline.database import Database
from pipeline.records import deliveries, destinations, ledger, sources, tables
from pipeline.settings import NodeSettings
from pipeline.store import Store
from tests.node_helpers import Hospital
from tests.viewer_api.served import served
from tests.ward import Ward
from viewer_api.app import create_app

SAMPLE = re.compile(r"bonecraft_[a-z_]+(\{[a-z_]+=\"[^\"\n]*\"(,[a-z_]+=\"[^\"\n]*\")*\})? -?[0-9.e+-]+")
TOKEN = {"authorization": "Bearer a token of twenty letters"}


@pytest.fixture
def monitor(database: Database, store: Store, tmp_path: Path) -> Iterator[httpx.Client]:
    """Somebody who may ask for the metrics, if they show the token."""
    issue(make_authority(tmp_path), Pair.named(tmp_path, "node"), name="node", hosts=("127.0.0.1",), days=90)
    settings = NodeSettings(
        data_folder=tmp_path,
        metrics_token="a token of twenty letters",
        tls_certificate=Pair.named(tmp_path, "node").certificate,
        tls_key=Pair.named(tmp_path, "node").key,
    )
    with served(create_app(settings, database, store)) as address, httpx.Client(base_url=address) as client:
        yield client


def read(monitor: httpx.Client) -> dict[str, float]:
    answer = monitor.get("/metrics", headers=TOKEN)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line for line in answer.text.splitlines() if not line.startswith("# ")]
    assert all(SAMPLE.fullmatch(line) for line in lines), lines
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_without_the_token_there_is_nothing(monitor: httpx.Client, database: Database, store: Store) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer"}):
        assert monitor.get("/metrics", headers=headers).status_code == 404
    with served(create_app(NodeSettings(), database, store)) as closed:
        assert httpx.get(f"{closed}/metrics", headers={"authorization": "Bearer"}).status_code == 404


def test_a_new_node_has_metrics(monitor: httpx.Client) -> None:
    found = read(monitor)
    assert found["bonecraft_ledger_sealed_entries"] == 0
    assert found["bonecraft_disk_free_bytes"] > 0
    (days,) = (value for name, value in found.items() if name.startswith("bonecraft_certificate_days_left"))
    assert 88 < days < 91


def test_what_happens_is_counted(monitor: httpx.Client, ward: Ward, hospital: Hospital) -> None:
    now = datetime.now(UTC)
    with hospital.database.begin() as connection:
        ledger.seal(connection)
        pacs = connection.execute(select(tables.peers.c.id)).scalar_one()
        destinations.note_unreachable(connection, pacs, problem="away", now=now, wait=lambda _: timedelta(minutes=1))
        owner = {"institution_id": hospital.institution_id, "calling_ae_title": "MODALITY"}
        listener = {"listener": pacs, "id": pacs, "seen_at": now}
        connection.execute(insert(tables.open_associations).values(**owner, **listener))
        assert deliveries.plan(connection, result_set_id=ward.result_set) == 0
    found = read(monitor)
    for sample, value in {
        'images_received_total{institution="demo",peer="MODALITY"}': 2,
        'associations{institution="demo",peer="MODALITY"}': 1,
        'studies{state="reconstructed"}': 1,
        'reconstructions{state="reconstructed"}': 1,
        'deliveries{institution="demo",peer="PACS",state="delivered"}': 1,
        'destination_unreachable{institution="demo",peer="PACS"}': 1,
        "ledger_sealed_entries": 2,
        "ledger_unsealed_entries": 0,
        "queue_wait_seconds": 0,
    }.items():
        assert found[f"bonecraft_{sample}"] == value, sample


def test_no_patient_is_named(monitor: httpx.Client, ward: Ward) -> None:
    text = monitor.get("/metrics", headers=TOKEN).text
    assert "Sample" not in text
    assert "ID a study" not in text


def test_what_is_fetched_is_counted_and_how_far_sources_were_read(
    monitor: httpx.Client, ward: Ward, hospital: Hospital
) -> None:
    now = datetime.now(UTC)
    with hospital.database.begin() as connection:
        source = {"institution_id": hospital.institution_id, "name": "archive", "url": "http://archive"}
        created = insert(tables.sources).values(**source).returning(tables.sources.c.id)
        source_id = connection.execute(created).scalar_one()
        minute = timedelta(minutes=1)
        sources.claim(connection, source_id, now=now, lease=minute)
        sources.note_position(connection, source_id, change=12, mark="", taken=3, now=now, lease=minute)
        sources.note_failed(connection, source_id, problem="away", now=now, wait=lambda _: minute)
    found = read(monitor)
    labels = '{institution="demo",source="archive"}'
    assert found[f"bonecraft_source_images_total{labels}"] == 3
    assert found[f"bonecraft_source_last_change{labels}"] == 12
    assert found[f"bonecraft_source_away{labels}"] == 1
