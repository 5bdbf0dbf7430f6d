"""`bonecraft serve`, `status`, `rerun`, `resend`, `echo`: what an administrator types and reads."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.node_process import MODALITY, NodePeer, RunningNode, running_node
from tests.peers import free_port
from tests.scp_node.senders import takes_connections, wait_until


def bonecraft(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, words)]
    whole = {**os.environ, "COLUMNS": "120", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=whole)


@pytest.fixture(scope="module")
def node() -> Iterator[RunningNode]:
    with running_node(MODALITY, NodePeer(ae_title="PACS", port=free_port(), receives=True)) as running:
        yield running


def test_the_start_says_where_everything_is(node: RunningNode) -> None:
    said = node.log.read_text()
    for words in (
        "added institution demo",
        "added peer demo/MODALITY",
        f"DICOM   127.0.0.1:{node.dicom_port}",
        "Demo Hospital: BONECRAFT",
        f"Viewer  {node.viewer}",
        "Model   femur_shape",
        "not for diagnosis alone",
    ):
        assert words in said


def test_echo_tells_that_the_node_answers_or_what_to_change(node: RunningNode) -> None:
    there = bonecraft("echo", f"BONECRAFT@127.0.0.1:{node.dicom_port}", "--from", "MODALITY")
    assert (there.returncode, there.stderr) == (0, "")
    assert "answers in" in there.stdout
    stranger = bonecraft("echo", f"BONECRAFT@127.0.0.1:{node.dicom_port}", "--from", "STRANGER")
    assert stranger.returncode == 75
    assert "does not know the caller 'STRANGER'" in stranger.stderr


def test_a_process_that_dies_is_started_again(node: RunningNode) -> None:
    others = {program: node.pid_of(program) for program in ("listener", "worker", "web")}
    killed = node.kill("delivery")
    node.wait_until(lambda: node.pid_of("delivery") != killed)
    assert {program: node.pid_of(program) for program in others} == others


def test_status_counts_and_names_what_failed(node: RunningNode) -> None:
    shown = bonecraft("status", "--config", node.config)
    assert shown.returncode == 0, shown.stderr
    for word in ("studies", "reconstructions", "deliveries", "quarantine"):
        assert word in shown.stdout
    plain = bonecraft("status", "--config", node.config, "--json")
    assert json.loads(plain.stdout)["quarantined"] == 0


@pytest.mark.parametrize("command", ["rerun", "resend"])
def test_only_what_is_there_can_be_tried_again(node: RunningNode, command: str) -> None:
    unknown = bonecraft(command, uuid4(), "--config", node.config)
    assert unknown.returncode == 2
    assert "see bonecraft status" in unknown.stderr


def test_stopping_is_calm_and_a_second_start_finds_everything(node: RunningNode) -> None:
    assert node.stop() == 0
    assert not takes_connections(node.dicom_port)
    assert not any(event.get("event") == "killed" for event in node.events())
    node.start()
    second = node.log.read_text().rpartition("drained")[2]
    assert "added" not in second, "the site was applied already"
    assert node.query("SELECT ae_title FROM peers ORDER BY ae_title") == [
        {"ae_title": "MODALITY"},
        {"ae_title": "PACS"},
    ]


def test_a_taken_port_is_named_with_the_setting_to_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = {"BONECRAFT_DATA_FOLDER": str(tmp_path), "BONECRAFT_DICOM_PORT": port}
        done = bonecraft("serve", BONECRAFT_DICOM_HOST="127.0.0.1", **environment)
    assert done.returncode == 2
    assert f"cannot listen at 127.0.0.1:{port}" in done.stderr
    assert "change dicom_port" in done.stderr


def test_one_role_refuses_a_site_that_it_would_not_apply(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--role", "web", "--site", str(tmp_path / "site.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "bonecraft site apply" in done.stderr


def test_one_role_runs_alone_against_a_database_url(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "BONECRAFT_DATABASE_URL": database_url,
        "BONECRAFT_DATA_FOLDER": str(tmp_path),
        "BONECRAFT_DICOM_HOST": "127.0.0.1",
        "BONECRAFT_DICOM_PORT": str(port),
    }
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--role", "listener"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: takes_connections(port), seconds=60)
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
