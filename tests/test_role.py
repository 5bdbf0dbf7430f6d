"""The processes of the node end when they are told to."""

import signal
import subprocess
import sys

import pytest

NEVER_OUT_OF_THE_LOCK = """
import threading
from pipeline.role import run_role

def body(settings, stop):
    print("up", flush=True)
    while not stop.wait(0):  # nearly always holds the event's lock when the signal comes
        pass

run_role("listener", body)
"""

MAIN_THREAD_DEAF = """
import signal
from pipeline.role import run_role

def body(settings, stop):
    # As for a signal that comes between the last look at signals and the wait: nothing interrupts the wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    print("up", flush=True)
    stop.wait(60)

run_role("listener", body)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("body", [NEVER_OUT_OF_THE_LOCK, MAIN_THREAD_DEAF])
def test_a_signal_ends_it_wherever_it_is(body: str, number: signal.Signals) -> None:
    command = [sys.executable, "-c", body]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.send_signal(number)
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("error", "status"), [("ConfigurationError('set dicom_port')", 2), ("TransientError('database away')", 75)]
)
def test_errors_of_ours_end_it_with_their_status_and_a_sentence(error: str, status: int) -> None:
    body = (
        "from pipeline.errors import *\nfrom pipeline.role import run_role\n"
        f"def body(settings, stop):\n    raise {error}\nrun_role('listener', body)"
    )
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status
    assert '"reason": ' in done.stderr
    assert "Traceback" not in done.stderr
