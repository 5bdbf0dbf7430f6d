"""Real peers for the tests: Orthanc, dcmtk, dciodvfy and GDCM's surface reader, each skipped by name where absent.

Programs are taken from Debian's folders by their whole path: Python packages put programs of the same names
(`storescu`, `movescu`) first on the PATH of a virtual environment.
"""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ORTHANC = Path("/usr/sbin/Orthanc")
DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
DEBIAN_PROGRAMS = Path("/usr/bin")
GDCM_HEADERS = Path("/usr/include/gdcm-3.0")
START_SECONDS = 30
PROGRAM_SECONDS = 60


def debian_program(name: str, *, package: str) -> Path:
    """The program of a Debian package, or a skip that names both."""
    path = DEBIAN_PROGRAMS / name
    if not path.exists():
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return path


def free_port() -> int:
    """A TCP port on loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, kw_only=True)
class OrthancPeer:
    """A running Orthanc that accepts everybody on loopback."""

    ae_title: str
    host: str
    dicom_port: int
    url: str
    dicomweb_url: str

    def add_modality(self, name: str, *, ae_title: str, port: int, host: str = "127.0.0.1") -> None:
        """Tell Orthanc where an application entity is (the target of its C-MOVE and C-STORE)."""
        httpx.put(f"{self.url}/modalities/{name}", json=[ae_title, host, port]).raise_for_status()

    def delete_everything(self) -> None:
        """Forget every patient, for tests that count."""
        for patient in httpx.get(f"{self.url}/patients").raise_for_status().json():
            httpx.delete(f"{self.url}/patients/{patient}").raise_for_status()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancPeer]:
    """A real PACS for the whole session. Tests share it: tell your studies apart by their UIDs."""
    if not ORTHANC.exists():
        pytest.skip("Orthanc is not installed (Debian package orthanc)")
    if not DICOMWEB_PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed (Debian package orthanc-dicomweb)")
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as peer:
        yield peer


@contextmanager
def running_orthanc(folder: Path, *, ae_title: str = "ORTHANC", **settings: object) -> Iterator[OrthancPeer]:
    """An Orthanc with its own folder, free ports and these settings that lives as long as the `with` block."""
    dicom_port, http_port = free_port(), free_port()
    url = f"http://127.0.0.1:{http_port}"
    peer = OrthancPeer(
        ae_title=ae_title, host="127.0.0.1", dicom_port=dicom_port, url=url, dicomweb_url=f"{url}/dicom-web"
    )
    configuration, log = folder / "orthanc.json", folder / "orthanc.log"
    configuration.write_text(json.dumps(_orthanc_settings(folder / "storage", peer, http_port) | settings))
    with log.open("wb") as output:
        process = subprocess.Popen([ORTHANC, configuration], stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for_orthanc(peer, process, log)
        yield peer
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def _orthanc_settings(storage: Path, peer: OrthancPeer, http_port: int) -> dict[str, object]:
    always = {f"DicomAlwaysAllow{what}": True for what in ("Echo", "Store", "Find", "Get", "Move")}
    return {
        "Name": "Bonecraft tests",
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "HttpPort": http_port,
        "DicomAet": peer.ae_title,
        "DicomPort": peer.dicom_port,
        "DicomCheckCalledAet": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StableAge": 1,
        **always,
    }


def _wait_for_orthanc(peer: OrthancPeer, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while not _answers(peer):
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.fail(f"Orthanc did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)


def _answers(peer: OrthancPeer) -> bool:
    """Also by asking for a password."""
    try:
        return httpx.get(f"{peer.url}/system").status_code in (200, 401)
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def dcmtk() -> Callable[[str], Path]:
    """Gives the path of one of dcmtk's programs: `dcmtk("storescu")`."""
    return lambda name: debian_program(name, package="dcmtk")


@pytest.fixture(scope="session")
def dciodvfy_errors() -> Callable[[Path], list[str]]:
    """Gives the Error lines that dciodvfy finds in a file."""
    program = debian_program("dciodvfy", package="dicom3tools")

    def errors(path: Path) -> list[str]:
        done = subprocess.run([program, path], capture_output=True, text=True, check=False, timeout=PROGRAM_SECONDS)
        return [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")]

    return errors


@pytest.fixture(scope="session")
def gdcm_surface_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that prints what GDCM's C++ SurfaceReader sees in a file, as JSON."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed (Debian package g++)")
    if not GDCM_HEADERS.exists():
        pytest.skip("GDCM's headers are not installed (Debian package libgdcm-dev)")
    program = tmp_path_factory.mktemp("gdcm") / "surface_reader"
    source = Path(__file__).parent / "dicom_write" / "surface_reader.cxx"
    libraries = [f"-lgdcm{name}" for name in ("MSFF", "DSED", "DICT", "IOD", "Common")]
    command = [compiler, "-std=c++17", f"-isystem{GDCM_HEADERS}", source, "-o", program, *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5 * PROGRAM_SECONDS)
    assert done.returncode == 0, done.stderr
    return program
