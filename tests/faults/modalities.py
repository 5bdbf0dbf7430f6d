"""Four senders at a time, as modalities are: dcmtk's storescu, each with files and a log of its own.

What a sender's log says was acknowledged is what the reckoning at the end asks for; nothing else is believed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from pipeline.cli.sample import sample_folder
from pipeline.dicom_renew import renew_study
from tests.factories import make_dx, save, stable_uid
from tests.node_process import MODALITY_AE_TITLE, NODE_AE_TITLE

STORESCU = "/usr/bin/storescu"
SENDERS = 4
KEPT_STUDIES = 12
"""So many of its studies a sender can send again."""
SEND_SECONDS = 120
RETRY_SECONDS = 0.3

_SENT = re.compile(r"^I: Sending file: (?P<path>.+)$|^I: Received Store Response \((?P<answer>.+)\)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """An instance as a sender has it.

    Attributes:
        uid: SOPInstanceUID.
        pixels: SHA-256 of its PixelData.
        is_film: Whether a bone can be reconstructed from it: a result must name it.
    """

    uid: str
    study: str
    pixels: str
    is_film: bool

    @classmethod
    def of(cls, dataset: Dataset, *, is_film: bool) -> Sent:
        """What will be looked for."""
        uid, study = str(dataset.SOPInstanceUID), str(dataset.StudyInstanceUID)
        return cls(uid=uid, study=study, pixels=hashlib.sha256(dataset.PixelData).hexdigest(), is_film=is_film)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What the senders send together.

    Attributes:
        seconds_between_films: A study of two real films, which becomes a bone.
        seconds_between_pictures: A study of two small pictures, which is refused quickly.
        pause: The mean wait, in seconds, between two studies of one sender; the others are images that start nothing.
        again: The share of studies that are sent a second time.
    """

    seconds_between_films: float = 30.0
    seconds_between_pictures: float = 15.0
    pause: float = 1.0
    again: float = 0.15


@dataclass(frozen=True, kw_only=True)
class Called:
    """Where the node is, and what storescu is told besides (TLS)."""

    port: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SenderLog:
    """The files a sender keeps: what it has, and what storescu said."""

    folder: Path

    @property
    def said(self) -> Path:
        """Everything storescu printed."""
        return self.folder / "storescu.log"

    @property
    def has(self) -> Path:
        """A line of JSON for each instance."""
        return self.folder / "instances.jsonl"

    def acknowledged(self) -> dict[str, Sent]:
        """Every instance that storescu had a Success for, by its UID."""
        known = [Sent(**json.loads(line)) for line in self.has.read_text().splitlines()]
        heard = taken(self.said.read_text(errors="replace"))
        return {sent.uid: sent for sent in known if sent.uid in heard}


def taken(said: str) -> set[str]:
    """The files, by their names without `.dcm`, that storescu's words tell to have been stored."""
    found, path = set(), ""
    for match in _SENT.finditer(said):
        path = match["path"] or path
        if match["answer"] == "Success":
            found.add(Path(path).stem)
    return found


class Modality(threading.Thread):
    """Sends study after study until it is told to stop; each until everything in it was acknowledged."""

    def __init__(
        self, number: int, folder: Path, called: Called, mix: Mix, *, seed: int, is_behind: Callable[[], bool]
    ) -> None:
        super().__init__(name=f"sender {number}")
        folder.mkdir()
        self.log = SenderLog(folder=folder)
        self.log.has.touch()
        self.log.said.touch()
        self.called = called
        self._mix, self._is_behind = mix, is_behind
        self._chance = Random(f"{seed} {number}")
        self._noise = np.random.default_rng([seed, number])
        self._token = f"{seed} {number} {time.time_ns()}"
        self._recent: deque[list[Path]] = deque()
        self._count = 0
        self._every = {
            self._make_films: SENDERS * mix.seconds_between_films,
            self._make_pictures: SENDERS * mix.seconds_between_pictures,
        }
        turn = (number - 1) / SENDERS  # they take turns
        self._due = {make: time.monotonic() + turn * seconds for make, seconds in self._every.items()}
        self._end = threading.Event()
        self._give_up_at = float("inf")

    def run(self) -> None:
        """Until `finish`."""
        while not self._end.is_set():
            again = self._recent and self._chance.random() < self._mix.again
            self._send(self._chance.choice(self._recent) if again else self._new_study())
            self._end.wait(self._chance.uniform(0, 2 * self._mix.pause))

    def finish(self) -> None:
        """Take no new study; what is in hand is sent to its end, for a while."""
        self._give_up_at = time.monotonic() + SEND_SECONDS
        self._end.set()

    def _send(self, files: Sequence[Path]) -> None:
        """As a modality's queue does: again and again, what was not acknowledged."""
        waiting = list(files)
        while waiting and time.monotonic() < self._give_up_at:
            heard = self._storescu(waiting)
            waiting = [file for file in waiting if file.stem not in heard]
            if waiting:
                time.sleep(RETRY_SECONDS)

    def _storescu(self, files: Sequence[Path]) -> set[str]:
        """One association; gives what was acknowledged on it."""
        titles = ("-aet", MODALITY_AE_TITLE, "-aec", NODE_AE_TITLE)
        command = [STORESCU, "-v", "-R", "-xr", *self.called.options, *titles, "127.0.0.1", str(self.called.port)]
        with self.log.said.open("ab") as said, suppress(subprocess.TimeoutExpired):  # as a person would, start it again
            begin = said.tell()
            subprocess.run([*command, *map(str, files)], stdout=said, stderr=said, timeout=SEND_SECONDS, check=False)
        with self.log.said.open("rb") as said:
            said.seek(begin)
            return taken(said.read().decode(errors="replace"))

    def _new_study(self) -> list[Path]:
        self._count += 1
        folder = self.log.folder / str(self._count)
        files = self._turn()(folder)
        self._recent.append(files)
        if len(self._recent) > KEPT_STUDIES:
            shutil.rmtree(self._recent.popleft()[0].parent)
        return files

    def _turn(self) -> Callable[[Path], list[Path]]:
        """What to make now: no work for the worker while it is behind, so that this ends on a slow machine, too."""
        due = [make for make, due in self._due.items() if time.monotonic() >= due]
        if not due or self._is_behind():
            return self._make_images
        self._due[due[0]] = time.monotonic() + self._every[due[0]]
        return due[0]

    def _make_films(self, folder: Path) -> list[Path]:
        copies, _ = renew_study(sorted(sample_folder().glob("*.dcm")), folder)
        files = []
        for copy in copies:
            sent = self._note(dcmread(copy), is_film=True)
            files.append(copy.rename(folder / f"{sent.uid}.dcm"))
        return files

    def _make_pictures(self, folder: Path) -> list[Path]:
        folder.mkdir()
        study = f"{self._token} {self._count}"
        return [self._keep(make_dx(study=study, view=view), folder) for view in ("AP", "LATERAL")]

    def _make_images(self, folder: Path) -> list[Path]:
        """Some slices of a CT: kept, and out of scope. One in ten is large enough to be cut in its middle."""
        folder.mkdir()
        files = []
        for number in range(self._chance.randint(2, 6)):
            side = 1024 if self._chance.random() < 0.1 else self._chance.randint(64, 192)
            pixels = self._noise.integers(0, 4096, (side, side), dtype=np.uint16)
            dataset = make_dx(study=f"{self._token} {self._count}", pixels=pixels)
            dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
            dataset.Modality = "CT"
            uid = stable_uid(self._token, self._count, number)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
            files.append(self._keep(dataset, folder))
        return files

    def _keep(self, dataset: Dataset, folder: Path) -> Path:
        return save(dataset, folder / f"{self._note(dataset, is_film=False).uid}.dcm")

    def _note(self, dataset: Dataset, *, is_film: bool) -> Sent:
        sent = Sent.of(dataset, is_film=is_film)
        with self.log.has.open("a") as instances:
            instances.write(json.dumps(asdict(sent)) + "\n")
        return sent


@dataclass(frozen=True)
class Senders:
    """The four of them."""

    modalities: Sequence[Modality]
    started: float = field(default_factory=time.monotonic)

    def acknowledged(self) -> dict[str, Sent]:
        """What they all were told to be stored, by its UID."""
        found: dict[str, Sent] = {}
        for modality in self.modalities:
            found |= modality.log.acknowledged()
        return found

    def finish(self) -> None:
        """Let each end its study, and wait for them."""
        for modality in self.modalities:
            modality.finish()
        for modality in self.modalities:
            modality.join()


@contextmanager
def four_senders(
    folder: Path, called: Called, *, seed: int, is_behind: Callable[[], bool], mix: Mix | None = None
) -> Iterator[Senders]:
    """Send from four modalities until the end of the block.

    Args:
        folder: Where they keep their files and logs.
        called: Where the node is.
        seed: Of everything random.
        is_behind: Whether the worker has enough to do already.
        mix: What they send.
    """
    group = folder / f"senders-{time.time_ns()}"
    group.mkdir(parents=True)
    chosen = mix or Mix()
    senders = Senders(
        [
            Modality(n, group / f"sender-{n}", called, chosen, seed=seed, is_behind=is_behind)
            for n in range(1, SENDERS + 1)
        ]
    )
    for modality in senders.modalities:
        modality.start()
    try:
        yield senders
    finally:
        senders.finish()
