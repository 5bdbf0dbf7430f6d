"""`make bench-latency`: from the last view's C-STORE answer to the results in a PACS, beside the pipeline's own time.

A whole node as `bonecraft serve` runs it, one worker, and an Orthanc that gets the results. A modality sends the sample
study under new UIDs again and again, with a pause between, as modalities do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
from pydicom import dcmread
from pynetdicom import AE

from pipeline.cli.sample import sample_folder
from pipeline.dicom_renew import renew_study
from tests.benchmarks.results import publish
from tests.node_process import MODALITY, NODE_AE_TITLE, NodePeer, RunningNode, running_node
from tests.peers import ORTHANC, OrthancPeer, running_orthanc

LIMIT_SECONDS = 1.5
PATIENCE_SECONDS = 300
PLANNED_SECONDS, LOOK_SECONDS = 0.25, 0.05
"""More often would take processor time from those who are measured."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One study.

    Attributes:
        until_stored: Seconds from the last C-STORE's answer until Orthanc held every result.
        pipeline: Seconds of the pipeline's stages, as the report has them.
        begun: Seconds until a worker began.
        made: Seconds until the reconstruction was recorded as ended.
    """

    until_stored: float
    pipeline: float
    begun: float
    made: float

    @property
    def beside(self) -> float:
        """What everything but the pipeline took."""
        return self.until_stored - self.pipeline


def main() -> None:
    """Measure, show, and fail where the limit is passed."""
    options = _options()
    if not ORTHANC.exists():
        raise SystemExit(f"missing: {ORTHANC} (Debian package orthanc)")
    with tempfile.TemporaryDirectory(prefix="bonecraft-latency-") as name:
        folder = Path(name)
        (folder / "orthanc").mkdir()
        with running_orthanc(folder / "orthanc") as orthanc:
            pacs = NodePeer(ae_title=orthanc.ae_title, port=orthanc.dicom_port, receives=True)
            with running_node(MODALITY, pacs) as node:
                orthanc.add_modality("node", ae_title=NODE_AE_TITLE, port=node.dicom_port)
                rounds = [_round(node, orthanc, folder / str(n), options.pause) for n in range(options.rounds + 1)]
    _publish(rounds[1:], write=options.write)
    if median(each.beside for each in rounds[1:]) > LIMIT_SECONDS:
        raise SystemExit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="how many studies, after one to warm up (default: 9)")
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between two studies (default: 10)")
    parser.add_argument("--write", action="store_true", help="keep the results in docs/benchmarks.md")
    return parser.parse_args()


def _publish(rounds: Sequence[Round], *, write: bool) -> None:
    def row(what: str, seconds: Sequence[float]) -> list[str]:
        return [what, f"{median(seconds):.2f}", f"{max(seconds):.2f}"]

    publish(
        "latency",
        columns=["from the last view's C-STORE answer", "median s", "longest s"],
        rows=[
            row("until a worker began", [each.begun for each in rounds]),
            row("until the result was recorded", [each.made for each in rounds]),
            row("until every result was stored in Orthanc", [each.until_stored for each in rounds]),
            row("the pipeline's own time: all its stages", [each.pipeline for each in rounds]),
            row("everything beside the pipeline", [each.beside for each in rounds]),
        ],
        remarks=[
            f"The sample study (two views) {len(rounds)} times under new UIDs, after one to warm up. Everything beside "
            f"the pipeline: {median(each.beside for each in rounds):.2f} s (median; limit {LIMIT_SECONDS} s).",
            "Node, database, modality and Orthanc share the machine. Orthanc is asked for storage commitment as well.",
        ],
        write=write,
    )


def _round(node: RunningNode, orthanc: OrthancPeer, folder: Path, pause: float) -> Round:
    time.sleep(pause)
    files, study = renew_study(sorted(sample_folder().glob("*.dcm")), folder)
    before = _count(orthanc)
    answered = _send(node, files)
    expected = _as_soon_as(lambda: _planned(node, study), "nothing was reconstructed", pause=PLANNED_SECONDS)
    _as_soon_as(lambda: _count(orthanc) >= before + expected, f"Orthanc does not hold {expected} results")
    stored_at = time.time()
    (row,) = node.query(
        "SELECT extract(epoch FROM r.started_at) AS began, extract(epoch FROM r.finished_at) AS ended, s.report"
        " FROM reconstructions r JOIN result_sets s ON s.reconstruction_id = r.id"
        " JOIN studies t ON t.id = r.study_id WHERE t.study_instance_uid = %s",
        [study],
    )
    return Round(
        until_stored=stored_at - answered,
        pipeline=sum(stage["seconds"] for stage in row["report"]["stages"]),
        begun=float(row["began"]) - answered,
        made=float(row["ended"]) - answered,
    )


def _as_soon_as(look: Callable[[], int], problem: str, *, pause: float = LOOK_SECONDS) -> int:
    """What `look` finds, as soon as that is not nothing."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        if time.monotonic() > give_up:
            raise SystemExit(f"{problem} after {PATIENCE_SECONDS} s")
        time.sleep(pause)
    return found


def _send(node: RunningNode, files: Sequence[Path]) -> float:
    """C-STORE all on one association, and release it; when the last answer came, in seconds since the epoch."""
    ae = AE(MODALITY.ae_title)
    datasets = [dcmread(file) for file in files]
    for dataset in datasets:
        ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", node.dicom_port, ae_title=NODE_AE_TITLE)
    for dataset in datasets:
        if association.send_c_store(dataset).Status != 0:
            raise SystemExit(f"the node did not take the study: see {node.log}")
    answered = time.time()
    association.release()
    return answered


def _count(orthanc: OrthancPeer) -> int:
    return int(httpx.get(f"{orthanc.url}/statistics").json()["CountInstances"])


def _planned(node: RunningNode, study: str) -> int:
    """How many deliveries there are for a study; none before it is reconstructed."""
    (row,) = node.query(
        "SELECT count(*) AS planned FROM deliveries d JOIN result_files f ON f.id = d.result_file_id"
        " JOIN result_sets s ON s.id = f.result_set_id JOIN studies t ON t.id = s.study_id"
        " WHERE t.study_instance_uid = %s AND d.state <> 'not-accepted'",
        [study],
    )
    return int(str(row["planned"]))


if __name__ == "__main__":
    main()
