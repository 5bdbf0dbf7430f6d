"""The log is JSON and quotes no dataset."""

import json
import subprocess
import sys

WRITER = """
import logging, threading, warnings
import structlog
from pipeline.logs import configure_logs

configure_logs("listener")
log = structlog.get_logger("test")
threading.Thread(target=log.info, args=["stored"], kwargs={"sop_instance_uid": "1.2.3"}).start()
logging.getLogger("uvicorn.error").warning("slow")
logging.getLogger("pynetdicom").error("could not decode Doe^Jane")
warnings.warn("Invalid value for VR PN: Doe^Jane")
try:
    name = "Doe^Jane"
    raise ValueError(f"cannot parse {name}")
except ValueError:
    log.exception("crashed")
"""


def test_each_line_is_json_with_its_role_and_no_patient_in_it() -> None:
    done = subprocess.run([sys.executable, "-c", WRITER], capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["stored", "slow", "crashed"]
    assert {line["role"] for line in lines} == {"listener"}
    assert lines[0]["sop_instance_uid"] == "1.2.3"
    assert lines[2]["exception"][0]["type"] == "ValueError"
    assert "Doe" not in done.stderr + done.stdout
