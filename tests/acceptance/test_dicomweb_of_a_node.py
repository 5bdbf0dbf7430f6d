"""A whole node, and a program with a token: what it stores can be found and proven, and the log names nobody."""

import re
import subprocess
import sys

import httpx
from dicomweb_client.api import DICOMwebClient

from tests.factories import make_dx
from tests.node_process import RunningNode, running_node


def bonecraft(node: RunningNode, *words: str) -> str:
    command = [sys.executable, "-m", "pipeline.cli", *words, "--config", str(node.config)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_what_a_program_stores_is_found_and_proven_and_the_log_names_nobody() -> None:
    picture = make_dx(patient_name="Secret^Patient")
    with running_node() as node:
        shown = bonecraft(node, "tokens", "add", "--institution", "demo", "--for", "gateway", "--read", "--store")
        token = re.search(r"bonecraft_[\w-]{43}", shown)[0]
        client = DICOMwebClient(f"{node.viewer}/dicom-web", headers={"authorization": f"Bearer {token}"})
        assert len(client.store_instances([picture]).ReferencedSOPSequence) == 1
        [found] = client.search_for_studies(search_filters={"PatientName": "Secret^*"})
        assert found["0020000D"]["Value"] == [picture.StudyInstanceUID]
        assert httpx.get(f"{node.viewer}/dicom-web/studies?PatientName=Secret").status_code == 401
        assert "received: from gateway 127.0.0.1" in bonecraft(node, "prove", picture.SOPInstanceUID)
        log = node.log.read_text()
    assert "Secret" not in log
    assert token not in log
