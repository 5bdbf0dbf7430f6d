"""A whole node fetches from a real Orthanc: what becomes stable there, what a study lacks, and what somebody pulls."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from scp_node.peer import Target
from scp_node.sending import OutgoingFile, send_files
from tests.factories import make_dx, save, stable_uid
from tests.node_process import MODALITY, NODE_AE_TITLE, NodePeer, RunningNode, running_node
from tests.peers import OrthancPeer


def views_of(node: RunningNode, study: str) -> int:
    query = "SELECT 1 FROM instances JOIN studies ON studies.id = study_id WHERE study_instance_uid = %s"
    return len(node.query(query, [stable_uid(study, "study")]))


def bonecraft(node: RunningNode, *words: str) -> str:
    command = [sys.executable, "-P", "-m", "pipeline.cli", *words, "--config", str(node.config)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def give(orthanc: OrthancPeer, folder: Path, study: str, *views: str) -> None:
    for view in views:
        content = save(make_dx(study=study, view=view), folder / "given.dcm").read_bytes()
        httpx.post(f"{orthanc.url}/instances", content=content).raise_for_status()


@pytest.mark.orthanc
def test_images_come_by_themselves_and_when_somebody_pulls_them(orthanc: OrthancPeer, tmp_path: Path) -> None:
    with running_node(MODALITY, NodePeer(ae_title="ORTHANC", port=orthanc.dicom_port)) as node:
        bonecraft(node, "sources", "add", "--institution", "demo", "--name", "archive", "--url", orthanc.url)
        bonecraft(
            node, "peers", "set", "--institution", "demo", "--ae-title", "ORTHANC", "--asked-for", "missing-views"
        )
        node.wait_until(lambda: "source demo/archive: last change" in bonecraft(node, "status"))

        give(orthanc, tmp_path, "watched", "AP", "LATERAL")
        node.wait_until(lambda: views_of(node, "watched") == 2)

        bonecraft(node, "sources", "remove", "--institution", "demo", "--name", "archive")
        give(orthanc, tmp_path, "lacking a lateral", "AP", "LATERAL")
        file = OutgoingFile.read(save(make_dx(study="lacking a lateral"), tmp_path / "sent.dcm"))
        target = Target(ae_title=NODE_AE_TITLE, host="127.0.0.1", port=node.dicom_port)
        assert not [outcome.problem for outcome in send_files([file], target, calling="MODALITY") if outcome.problem]
        node.wait_until(lambda: views_of(node, "lacking a lateral") == 2)

        give(orthanc, tmp_path, "pulled", "AP", "LATERAL")
        told = bonecraft(node, "pull", "--from", "ORTHANC", "--study", stable_uid("pulled", "study"))
        assert told.endswith("2 images, 0 here before, 2 fetched\n")
        assert views_of(node, "pulled") == 2
        assert node.stop() == 0
