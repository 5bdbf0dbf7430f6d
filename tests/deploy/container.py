"""What deploy/Dockerfile says of the container, and a way to run it without one."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREFIX = "/opt/bonecraft"


@dataclass(frozen=True, kw_only=True)
class Container:
    """The last stage of a Dockerfile."""

    environment: Mapping[str, str]
    uid: int
    gid: int
    work_folder: str
    entrypoint: Sequence[str]
    command: Sequence[str]
    health: Sequence[str]


def read_dockerfile(path: Path) -> Container:
    """The final stage's ENV, USER, WORKDIR, ENTRYPOINT, CMD and HEALTHCHECK."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    instructions = "\n".join(lines).replace("\\\n", " ").splitlines()
    last_from = max(number for number, line in enumerate(instructions) if line.startswith("FROM "))
    said: dict[str, list[str]] = {}
    for line in instructions[last_from:]:
        name, _, rest = line.partition(" ")
        said.setdefault(name, []).append(rest.strip())
    uid, gid = said["USER"][-1].split(":")
    return Container(
        environment=dict(pair.split("=", 1) for line in said["ENV"] for pair in shlex.split(line)),
        uid=int(uid),
        gid=int(gid),
        work_folder=said["WORKDIR"][-1],
        entrypoint=json.loads(said["ENTRYPOINT"][-1]),
        command=json.loads(said["CMD"][-1]),
        health=json.loads(re.sub(r"^.*?CMD ", "", said["HEALTHCHECK"][-1])),
    )


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A place where the container's commands run as they would in it: its paths lead into folders of the test.

    Attributes:
        container: What the Dockerfile says.
        prefix: Stands for /opt/bonecraft.
        data: Stands for the work folder, which is also the data folder.
        environment: What `docker run --env` would add.
    """

    container: Container
    prefix: Path
    data: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, command: Sequence[str], **options: object) -> subprocess.Popen[str]:
        """Run a command as the container's user, in its environment and folder, and in nothing else."""
        environment = {name: self._here(value) for name, value in self.container.environment.items()}
        libraries = [self.prefix / "site-packages", *python_paths()]
        environment |= {
            "HOME": str(self.data),
            "PATH": environment["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin"),
            "PYTHONPATH": os.pathsep.join(map(str, libraries)),
            **self.environment,
        }
        program = [self._here(word) for word in command]
        program[0] = str(self.prefix / "bin" / program[0])
        identity = {"user": self.container.uid, "group": self.container.gid, "extra_groups": []}
        return subprocess.Popen(
            program, cwd=self.data, env=environment, text=True, **(identity if os.geteuid() == 0 else {}), **options
        )

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def _here(self, text: str) -> str:
        return text.replace(PREFIX, str(self.prefix)).replace(self.container.work_folder, str(self.data))


def install(prefix: Path, *, uid: int) -> None:
    """What the Dockerfile's build stage does: install this checkout under `prefix`, on the dependencies we have."""
    python = python_for(uid)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, python_paths()))}
    site_packages = prefix / "site-packages"
    options = ["--quiet", "--no-deps", "--disable-pip-version-check", "--target", str(site_packages)]
    subprocess.run([python, "-m", "pip", "install", *options, str(ROOT)], env=environment, check=True)
    (site_packages / "bin").rename(prefix / "bin")
    (prefix / "bin/python").symlink_to(python)
    (site_packages / "pipeline/_models").symlink_to(ROOT / "models")


def python_paths() -> list[Path]:
    """Where the dependencies lie."""
    return [Path(path) for path in sys.path if path.endswith("site-packages")]


def python_for(uid: int) -> str:
    """A Python of our version that the user `uid` may run: ours, or Debian's where ours lies in somebody's home."""
    version = f"python3.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        if not Path(python).exists():
            continue
        identity = {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}
        try:
            subprocess.run([python, "-c", ""], check=True, capture_output=True, cwd="/", **identity)
        except (PermissionError, subprocess.CalledProcessError):
            continue
        return str(python)
    pytest.skip(f"no {version} here that user {uid} may run")
