"""`make bench-ingest`: how fast radiographs are taken in, beside dcmtk's storescp and Orthanc in the same run.

The node does more before it says Success: it parses the header, fsyncs the file, and commits a row. Everybody is sent
the same files by the same sender, dcmtk's storescu, and is counted afterwards: what did not arrive did not count.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.benchmarks.receivers import BIG_PDU, SENDER, Receiver, node, orthanc, storescp, storescp_at_its_best
from tests.benchmarks.results import publish

Start = Callable[[Path], AbstractContextManager[Receiver]]

RECEIVERS: dict[str, Start] = {
    "Bonecraft (fsync, row committed)": node,
    "dcmtk storescp": storescp,
    "dcmtk storescp --bit-preserving, big PDUs": storescp_at_its_best,
    "Orthanc": orthanc,
}
PROGRAMS = ("/usr/bin/storescu", "/usr/bin/storescp", "/usr/sbin/Orthanc")
ASSOCIATIONS = (1, 4)
SIDE = 2236
"""Pixels; 2236 × 2236 × 2 bytes are 10 MB."""
IMAGES_IN_A_STUDY = 2
MEGABYTE = 1e6
LEAST_RATIOS = {"dcmtk storescp": 1.0, "Orthanc": 1.5}
"""Our speed over theirs; dcmtk's at its best is shown for comparison."""
MOST_MEGABYTES = 250
"""Of memory that the listener may take."""


def main() -> None:
    """Run every receiver with every number of associations."""
    options = _options()
    absent = [program for program in PROGRAMS if not Path(program).exists()]
    if absent:
        raise SystemExit(f"missing: {', '.join(absent)} (Debian packages dcmtk, orthanc)")
    with tempfile.TemporaryDirectory(prefix="bonecraft-ingest-", dir=options.folder) as name:
        folder = Path(name)
        files = write_files(folder / "files", options.files)
        megabytes = sum(path.stat().st_size for path in files) / MEGABYTE
        runs = [
            {(receiver, count): _sent(start, folder, files, count) for receiver, start in RECEIVERS.items()}
            for _ in range(options.rounds)
            for count in ASSOCIATIONS
        ]
    sent = {each: [run[each] for run in runs if each in run] for run in runs for each in run}
    memory = max(most for run in sent.values() for _, most in run)
    publish(
        "ingest",
        columns=["receiver", *(f"MB/s, {n} assoc." for n in ASSOCIATIONS), *(f"ratio, {n}" for n in ASSOCIATIONS)],
        rows=[_row(receiver, sent) for receiver in RECEIVERS],
        remarks=[
            f"{len(files)} CR files of {megabytes / len(files):.0f} MB, over 1 and over 4 associations at a time, sent "
            f"by dcmtk storescu. Medians of {options.rounds} round(s), in each of which everybody had a turn; a ratio "
            "is the median of Bonecraft's speed over theirs in the same round.",
            "Sender, receiver and database share the machine. Only Bonecraft answers Success after fsync and commit.",
            f"Bonecraft's listener took {memory:.0f} MB of memory at the most (limit {MOST_MEGABYTES} MB).",
        ],
        write=options.write,
    )
    if missed := _missed(sent, memory):
        raise SystemExit("\n".join(missed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200, help="how many files of 10 MB (default: 200)")
    parser.add_argument("--rounds", type=int, default=1, help="how often, for a median (default: 1)")
    parser.add_argument("--folder", type=Path, default=None, help="on whose disk (default: the temporary folder)")
    parser.add_argument("--write", action="store_true", help="keep the results in docs/benchmarks.md")
    return parser.parse_args()


Sent = dict[tuple[str, int], list[tuple[float, float]]]


def _row(receiver: str, sent: Sent) -> list[str]:
    speeds = [median(speed for speed, _ in sent[receiver, count]) for count in ASSOCIATIONS]
    ratios = [_ratio(sent, receiver, count) for count in ASSOCIATIONS]
    return [receiver, *(f"{speed:.0f}" for speed in speeds), *(f"{ratio:.2f}" for ratio in ratios)]


def _ratio(sent: Sent, receiver: str, count: int) -> float:
    """Our speed over theirs in the same round; the median of all rounds."""
    pairs = zip(sent[next(iter(RECEIVERS)), count], sent[receiver, count], strict=True)
    return median(mine / theirs for (mine, _), (theirs, _) in pairs)


def _missed(sent: Sent, memory: float) -> list[str]:
    """What is not as it should be, in words."""
    found = [
        f"{_ratio(sent, receiver, count):.2f} × {receiver} over {count} association(s): less than {least}"
        for receiver, least in LEAST_RATIOS.items()
        for count in ASSOCIATIONS
        if _ratio(sent, receiver, count) < least
    ]
    return found if memory < MOST_MEGABYTES else [*found, f"{memory:.0f} MB of memory"]


def write_files(folder: Path, count: int) -> list[Path]:
    """CR images, two to a study, that differ in their UIDs and in one row of noise."""
    folder.mkdir()
    noise = np.random.default_rng(1).integers(0, 4096, (SIDE, SIDE), dtype=np.uint16)
    paths = []
    study = series = ""
    for number in range(count):
        if number % IMAGES_IN_A_STUDY == 0:
            study, series = generate_uid(), generate_uid()
        noise[0] = number
        path = folder / f"{number:04d}.dcm"
        _radiograph(noise, study=study, series=series).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _radiograph(pixels: np.ndarray, *, study: str, series: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PatientName, dataset.PatientID = "Benchmark^Ingest", "BENCH"
    dataset.Modality, dataset.BodyPartExamined = "CR", "CHEST"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = pixels.tobytes()
    return dataset


def _sent(start: Start, folder: Path, files: Sequence[Path], associations: int) -> tuple[float, float]:
    """MB/s until everything is acknowledged, and the most MB of memory that the node took (0: another receiver).

    Raises:
        SystemExit: Not everything arrived.
    """
    place = Path(tempfile.mkdtemp(prefix="at-", dir=folder))
    try:
        with start(place) as receiver:
            os.sync()  # what others left to be written is not this receiver's burden
            began = time.perf_counter()
            shares = np.array_split(np.asarray(files, dtype=object), associations)
            senders = [_sender(receiver, list(share)) for share in shares]
            statuses = [sender.wait() for sender in senders]
            seconds = time.perf_counter() - began
            arrived = receiver.arrived.count()
            memory = receiver.node.most_resident_megabytes if receiver.node else 0.0
    finally:
        shutil.rmtree(place)
    if any(statuses) or arrived != len(files):
        raise SystemExit(f"{receiver.called} took {arrived} of {len(files)} files; storescu ended with {statuses}")
    return sum(path.stat().st_size for path in files) / MEGABYTE / seconds, memory


def _sender(receiver: Receiver, files: Sequence[Path]) -> subprocess.Popen[bytes]:
    titles = ["--aetitle", SENDER, "--call", receiver.called]
    command = ["/usr/bin/storescu", "--max-pdu", BIG_PDU, *titles, "127.0.0.1", str(receiver.port), *map(str, files)]
    return subprocess.Popen(command)


if __name__ == "__main__":
    main()
