"""A small archive for demonstrations: keeps what it is sent in a folder, and answers C-ECHO. Not for hospitals.

`python -m scp_node.archive --folder DIR [--port 4242] [--ae-title PACS]` prints its port; 0 takes a free one.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Final

from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt

SUCCESS: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700
"""PS3.4 Table B.2-1: Refused: Out of Resources."""


def keep(event: evt.Event, folder: Path) -> int:
    """Write the received instance as `folder/<StudyInstanceUID>/<SOPInstanceUID>.dcm`; returns the C-STORE status."""
    study = folder / str(event.dataset.StudyInstanceUID)
    try:
        study.mkdir(parents=True, exist_ok=True)
        target = study / f"{event.dataset.SOPInstanceUID}.dcm"
        target.write_bytes(event.encoded_dataset())
    except OSError:
        return OUT_OF_RESOURCES
    return SUCCESS


def serve(*, ae_title: str, port: int, folder: Path) -> None:
    """Listen on loopback until SIGTERM or SIGINT."""
    ae = AE(ae_title)
    ae.maximum_pdu_size = 131072
    ae.add_supported_context("1.2.840.10008.1.1")  # Verification
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), list(AllTransferSyntaxes))
    stopping = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep, [folder])])
    if server is None:
        raise RuntimeError("pynetdicom gives no server although it was told not to block")
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    signal.sigwait(stopping)
    server.shutdown()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ae-title", default="PACS")
    parser.add_argument("--port", type=int, default=4242)
    given = parser.parse_args()
    serve(ae_title=given.ae_title, port=given.port, folder=given.folder)


if __name__ == "__main__":
    main()
