"""A second archive beside Orthanc: dcmtk's dcmqrscp, which shares no code with it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers import debian_program, free_port

START_SECONDS = 30

SETTINGS = """
NetworkTCPPort = {port}
MaxPDUSize = 65536
MaxAssociations = 16
HostTable BEGIN
node = (BONECRAFT, 127.0.0.1, {node_port})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
DCMQRSCP {folder} RW (200, 1024mb) ANY
AETable END
"""


@contextmanager
def running_dcmqrscp(folder: Path, *options: str, node_port: int) -> Iterator[int]:
    """A dcmqrscp, called DCMQRSCP, that knows BONECRAFT at this port; gives its own port."""
    program = debian_program("dcmqrscp", package="dcmtk")
    port, database, configuration = free_port(), folder / "images", folder / "dcmqrscp.cfg"
    database.mkdir()
    configuration.write_text(SETTINGS.format(port=port, node_port=node_port, folder=database))
    process = subprocess.Popen(
        [program, "-c", configuration, *options, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_it_answers(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    echo = [debian_program("echoscu", package="dcmtk"), "-aec", "DCMQRSCP", "127.0.0.1", str(port)]
    give_up = time.monotonic() + START_SECONDS
    while subprocess.run(echo, capture_output=True, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.fail("dcmqrscp did not start")
        time.sleep(0.1)
