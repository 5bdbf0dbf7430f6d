"""An archive that forwards all it stores, our results too, and copies of them under new UIDs: nothing goes round."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from pipeline.cli.sample import sample_folder
from pipeline.dicom_renew import renew_study
from tests.node_process import NODE_AE_TITLE, NodePeer, RunningNode, running_node
from tests.peers import OrthancPeer, running_orthanc

FORWARD = """
function OnStoredInstance(instanceId, tags, metadata)
  SendToModality(instanceId, 'bonecraft')
  if tags.Modality ~= 'DX' and not metadata.ModifiedFrom then
    ModifyInstance(instanceId, {StationName = 'ROUTER'}, {}, false)
  end
end
"""
"""As routers do: everything is passed on, and of everything but the films a copy is made, which is stored, too."""

FINISHED = "SELECT count(*) FROM deliveries WHERE state = 'delivered'"
CAME_BACK = "SELECT count(DISTINCT sop_instance_uid) FROM instances WHERE role = 'own-result'"

pytestmark = pytest.mark.orthanc


@dataclass(frozen=True, kw_only=True)
class Round:
    """The films were sent to the archive, and everything that follows from that has happened."""

    node: RunningNode
    orthanc: OrthancPeer
    results: int

    def count(self, what: str) -> int:
        """Rows of the node's database."""
        return int(str(self.node.query(f"SELECT count(*) FROM {what}")[0]["count"]))


@pytest.fixture(scope="module")
def round_trip(tmp_path_factory: pytest.TempPathFactory, dcmtk: Callable[[str], Path]) -> Iterator[Round]:
    folder = tmp_path_factory.mktemp("forwarding")
    script = folder / "forward.lua"
    script.write_text(FORWARD)
    films, _ = renew_study(sorted(sample_folder().glob("*.dcm")), folder / "films")
    with running_orthanc(folder, ae_title="PACS", LuaScripts=[str(script)]) as orthanc:
        pacs = NodePeer(ae_title="PACS", port=orthanc.dicom_port, sends=True, receives=True)
        with running_node(pacs) as node:
            orthanc.add_modality("bonecraft", ae_title=NODE_AE_TITLE, port=node.dicom_port)
            command = [dcmtk("storescu"), "-R", "-xr", "-aec", "PACS", "127.0.0.1", str(orthanc.dicom_port), *films]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            yield _settled(node, orthanc)


def _settled(node: RunningNode, orthanc: OrthancPeer) -> Round:
    """When the results were delivered and have come back, each and its copy, and the archive has nothing left to do."""

    def has_come_round() -> bool:
        (planned,) = node.query("SELECT count(*) FROM deliveries")
        return planned["count"] > 0 and node.query(FINISHED) == [planned] and node.query(CAME_BACK) == [twice(planned)]

    def twice(planned: dict[str, object]) -> dict[str, object]:
        return {"count": 2 * int(str(planned["count"]))}

    node.wait_until(has_come_round)
    node.wait_until(lambda: all(job["State"] == "Success" for job in _jobs(orthanc)))
    return Round(node=node, orthanc=orthanc, results=int(str(node.query(FINISHED)[0]["count"])))


def _jobs(orthanc: OrthancPeer) -> list[dict[str, object]]:
    return httpx.get(f"{orthanc.url}/jobs?expand").raise_for_status().json()


def test_results_that_come_back_and_copies_of_them_start_nothing(round_trip: Round) -> None:
    assert round_trip.count("reconstructions") == 1
    assert round_trip.count("deliveries") == round_trip.results
    assert round_trip.count("instances WHERE role = 'radiograph'") == 2


def test_the_archive_was_given_each_result_once(round_trip: Round) -> None:
    received = [entry for entry in _changes(round_trip.orthanc) if entry["ChangeType"] == "NewInstance"]
    assert len(received) == 2 + 2 * round_trip.results  # the films; each result and its copy
    assert [row["attempts"] for row in round_trip.node.query("SELECT attempts FROM deliveries")] == (
        [1] * round_trip.results
    )


def test_what_came_back_is_kept(round_trip: Round) -> None:
    blobs = {row["blob_key"] for row in round_trip.node.query("SELECT blob_key FROM instances")}
    assert all((round_trip.node.data / "blobs" / str(key)).is_file() for key in blobs)


def _changes(orthanc: OrthancPeer) -> list[dict[str, object]]:
    return httpx.get(f"{orthanc.url}/changes?limit=10000").raise_for_status().json()["Changes"]
