"""`kill -9` at the worst moment: what was acknowledged is there afterwards, and each study is delivered once."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread

from pipeline.cli.sample import sample_folder
from pipeline.dicom_renew import renew_study
from tests.node_process import MODALITY, MODALITY_AE_TITLE, NODE_AE_TITLE, NodePeer, RunningNode, running_node
from tests.peers import OrthancPeer, running_orthanc
from tests.scp_node.senders import associate, send_half, takes_connections, wait_until

RESULTS = 14
"""Surfaces, two radiographs with outlines, turntable, six renderings, measurements twice, key objects and STL."""

pytestmark = [pytest.mark.orthanc, pytest.mark.timeout(900)]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A node that delivers to Orthanc, and a study of this test's own to send."""

    node: RunningNode
    orthanc: OrthancPeer
    storescu: Path
    ap: Path
    lateral: Path
    study_uid: str

    def send(self, file: Path) -> bool:
        """C-STORE one image as a modality does; whether the node acknowledged it."""
        titles = ("-aet", MODALITY_AE_TITLE, "-aec", NODE_AE_TITLE)
        command = [self.storescu, "-R", "-xr", *titles, "127.0.0.1", str(self.node.dicom_port), file]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

    def send_until_acknowledged(self, file: Path) -> None:
        """As a modality's queue does: again and again."""
        self.node.wait_until(lambda: self.send(file))

    def rows(self, select: str) -> list[dict[str, object]]:
        """Rows that belong to the study; `select` ends where its condition begins."""
        return self.node.query(f"{select} WHERE study_instance_uid = %s", [self.study_uid])

    def wait_until_working(self) -> None:
        """Until the reconstruction is in the middle of its work."""
        progress = "SELECT stage FROM reconstructions r JOIN studies s ON s.id = r.study_id"
        self.node.wait_until(lambda: any(row["stage"] for row in self.rows(f"{progress} AND r.state = 'running'")))

    def assert_complete_and_delivered_once(self) -> None:
        """Both images are kept; one result; Orthanc has got each of its instances once."""
        self.node.wait_until(lambda: len(self.delivered()) == RESULTS)
        images = self.rows("SELECT count(*) FROM instances i JOIN studies s ON s.id = i.study_id")
        assert images == [{"count": 2}]
        sets = self.rows("SELECT count(*) FROM result_sets r JOIN studies s ON s.id = r.study_id")
        assert sets == [{"count": 1}]
        assert [row["attempts"] for row in self.delivered()] == [1] * RESULTS
        assert self.kept_by_orthanc() == RESULTS

    def delivered(self) -> list[dict[str, object]]:
        """The study's deliveries that Orthanc has confirmed."""
        joined = "deliveries d JOIN result_files f ON f.id = d.result_file_id"
        joined += " JOIN result_sets r ON r.id = f.result_set_id JOIN studies s ON s.id = r.study_id"
        return self.rows(f"SELECT d.attempts FROM {joined} AND d.state = 'delivered'")

    def kept_by_orthanc(self) -> int:
        """How many instances of the study Orthanc has."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": self.study_uid}}
        return len(httpx.post(f"{self.orthanc.url}/tools/find", json=query).raise_for_status().json())


@pytest.fixture(scope="module")
def node_and_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningNode, OrthancPeer]]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), ae_title="PACS") as orthanc:
        pacs = NodePeer(ae_title="PACS", port=orthanc.dicom_port, receives=True)
        with running_node(MODALITY, pacs, job_heartbeat_seconds=2) as node:
            orthanc.add_modality("bonecraft", ae_title=NODE_AE_TITLE, port=node.dicom_port)  # to report commitment
            yield node, orthanc


@pytest.fixture
def scene(node_and_orthanc: tuple[RunningNode, OrthancPeer], dcmtk: Callable[[str], Path], tmp_path: Path) -> Scene:
    node, orthanc = node_and_orthanc
    (ap, lateral), study_uid = renew_study(sorted(sample_folder().glob("*.dcm")), tmp_path)
    return Scene(node=node, orthanc=orthanc, storescu=dcmtk("storescu"), ap=ap, lateral=lateral, study_uid=study_uid)


def test_a_worker_killed_in_the_middle_of_a_study(scene: Scene) -> None:
    assert scene.send(scene.ap)
    assert scene.send(scene.lateral)
    scene.wait_until_working()
    killed = scene.node.kill("worker")
    scene.assert_complete_and_delivered_once()
    assert scene.node.pid_of("worker") != killed


def test_a_listener_killed_between_two_images(scene: Scene) -> None:
    assert scene.send(scene.ap)
    killed = scene.node.kill("listener")
    scene.send_until_acknowledged(scene.lateral)
    assert scene.node.pid_of("listener") != killed
    scene.assert_complete_and_delivered_once()


def test_a_listener_killed_in_the_middle_of_an_image(scene: Scene) -> None:
    assert scene.send(scene.ap)
    sender = associate(scene.node.dicom_port, dcmread(scene.lateral))
    send_half(sender, dcmread(scene.lateral))
    scene.node.wait_until(lambda: any((scene.node.folder / "data" / "incoming").iterdir()))
    scene.node.kill("listener")
    scene.node.wait_until(lambda: not sender.is_established)
    scene.send_until_acknowledged(scene.lateral)
    scene.assert_complete_and_delivered_once()


def test_postgres_killed_between_two_images(scene: Scene) -> None:
    assert scene.send(scene.ap)
    scene.node.kill_postgres()
    scene.send_until_acknowledged(scene.lateral)
    scene.assert_complete_and_delivered_once()


def test_postgres_killed_in_the_middle_of_a_study(scene: Scene) -> None:
    assert scene.send(scene.ap)
    assert scene.send(scene.lateral)
    scene.wait_until_working()
    scene.node.kill_postgres()
    scene.assert_complete_and_delivered_once()


def test_everything_killed_at_once_as_by_a_power_cut(scene: Scene) -> None:
    scene.send_until_acknowledged(scene.ap)
    scene.send_until_acknowledged(scene.lateral)
    scene.wait_until_working()
    programs = ("postgres", "listener", "worker", "delivery", "web")
    pids = [scene.node.process.pid, *(scene.node.pid_of(program) for program in programs)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    scene.node.process.wait()
    wait_until(lambda: not takes_connections(scene.node.dicom_port))
    scene.node.start()
    scene.assert_complete_and_delivered_once()
