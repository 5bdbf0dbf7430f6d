"""The doctor says whether a peer can be searched and gives images, and whether sources can be read."""

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert

from pipeline.database import Database
from pipeline.finding import Finding
from pipeline.records import tables
from pipeline.records.directory import Peer
from pipeline.settings import NodeSettings
from scp_node.pull_checks import check_pulling, source_sections
from tests.peers import OrthancPeer, free_port
from tests.scp_node.archives import running_dcmqrscp

NODE = UUID(int=1)


def findings(port: int, **facts: object) -> dict[str, Finding]:
    peer = Peer(id=NODE, institution_id=NODE, ae_title="DCMQRSCP", host="127.0.0.1", port=port, **facts)
    settings = NodeSettings(dicom_port=11112)
    found = check_pulling(settings, peer, institution="demo", calling="BONECRAFT")
    return {each.check: each for each in found}


def test_orthanc_is_searched_and_offers_c_get(orthanc: OrthancPeer) -> None:
    found = findings(orthanc.dicom_port)
    assert found["search"].ok
    assert found["retrieval"].sentence == "it offers C-GET: images come on our own associations"


def test_an_archive_with_c_move_only_must_be_let_in_and_must_know_us(tmp_path: Path) -> None:
    with running_dcmqrscp(tmp_path, "--disable-get", node_port=free_port()) as port:
        barred, let_in = findings(port)["retrieval"], findings(port, sends=True)["retrieval"]
    assert (barred.ok, let_in.ok) == (False, True)
    assert "bonecraft peers set … --sends" in barred.sentence
    assert "must know 'BONECRAFT' with this machine's address and port 11112" in let_in.sentence


def test_who_is_away_is_told_once() -> None:
    found = findings(free_port())
    assert list(found) == ["search"]
    assert "nothing listens at" in found["search"].sentence


def test_over_dicomweb_there_is_nothing_to_offer(orthanc: OrthancPeer) -> None:
    found = findings(free_port(), dicomweb_url=orthanc.dicomweb_url)
    assert [(check, each.ok) for check, each in found.items()] == [("search", True)]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_source_is_asked_for_its_last_change(
    database: Database, database_url: str, institution_id: UUID, orthanc: OrthancPeer, *, is_there: bool
) -> None:
    url = orthanc.url if is_there else f"http://127.0.0.1:{free_port()}"
    with database.begin() as connection:
        connection.execute(insert(tables.sources).values(institution_id=institution_id, name="archive", url=url))
    ((title, found),) = source_sections(NodeSettings(database_url=database_url))
    (finding,) = found
    assert (title, finding.ok) == ("source demo/archive", is_there)
    assert ("not read yet" if is_there else "no connection to archive") in finding.sentence
