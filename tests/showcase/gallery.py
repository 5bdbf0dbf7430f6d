"""`make gallery`: what comes back of a few studies, as pictures and with its sizes, into docs/gallery.md.

python -m tests.showcase.gallery "Title=FOLDER[: credit]" ...

Without studies it shows the one that comes with Bonecraft, and two that are simulated from the bone collection; where
that is absent, what the page has of those two stays.
"""

from __future__ import annotations

import argparse
import io
import re
import shlex
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread

from pipeline.cli.sample import sample_folder
from pipeline.dicom_check import require_sound
from pipeline.dicom_write.encoding import encode
from pipeline.results import FileKind, Report, ResultFile
from pipeline.study import reconstruct_study
from tests.benchmarks.results import measured
from tests.shared_data import BONES, DATA

PAGE: Final = Path(__file__).parents[2] / "docs" / "gallery.md"
PICTURES: Final = PAGE.parent / "images" / "gallery"
QUALITIES: Final = (84, 76, 68, 60)
"""Of a JPEG: the first with which it is small enough."""

MOST_BYTES: Final = 250_000
TURNS: Final = 6
"""Frames of the turntable that are shown, evenly spread."""

Picture = npt.NDArray[Any]

BENCHMARKS: Final = "[benchmarks](benchmarks.md#a-reconstruction)"
PREFACE: Final = """# Gallery

What a PACS gets of a study. Every picture below is one of the DICOM instances, read back from its file. What each of
them is, is in [dicom-results.md](dicom-results.md); how far to trust them in [radiologists.md](radiologists.md). For
research and decision support; not for diagnosis alone.

`make gallery` writes this page. The sample study comes with Bonecraft; the others are simulated from the bone
collection by the commands that stand with them, DATA being the folder that holds `bones.csv`. It is not part of the
project: `BONECRAFT_SHARED_DATA` names it, or it is `shared/data` beside the clone; where it is absent these studies
stay as they are. `make gallery ARGS='"Title=FOLDER: credit" ...'` shows your own studies instead.
"""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study to show: its title, its files, whose bones they are, and how it was made."""

    title: str
    folder: Path
    credit: str
    recipe: str = ""

    @classmethod
    def parse(cls, text: str) -> Study:
        """From `Title=FOLDER: credit`."""
        title, _, rest = text.partition("=")
        folder, _, credit = rest.partition(":")
        return cls(title=title.strip(), folder=Path(folder.strip()), credit=credit.strip())

    @property
    def name(self) -> str:
        """File-name friendly."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A study that is simulated from a person's own bones."""

    title: str
    credit: str
    person: str
    seed: int
    fields: tuple[str, ...]

    def run(self, folder: Path) -> Study:
        """Write its radiographs into a folder."""
        subprocess.run([sys.executable, "-W", "ignore", *self._arguments(DATA, folder)], check=True)
        recipe = shlex.join([".venv/bin/python", *self._arguments(Path("DATA"), Path("FOLDER"))])
        return Study(title=self.title, folder=folder, credit=self.credit, recipe=recipe)

    def _arguments(self, data: Path, out: Path) -> list[str]:
        what = ["--data", str(data), "--person", self.person, "--seed", str(self.seed), "--fields", *self.fields]
        return ["-m", "models.training.field_study", *what, "--out", str(out)]


SAMPLE: Final = Study(
    title="Hip, two views",
    folder=sample_folder(),
    credit="The sample study, simulated from a real femur of VSDFullBodyBoneModels (Fischer 2023), CC BY-NC-SA 4.0.",
)
SIMULATIONS: Final = (
    Simulation(
        title="Pelvis, one view",
        credit="Simulated from real bones of VSDFullBodyBoneModels (Fischer 2023), CC BY-NC-SA 4.0.",
        person="z062",
        seed=3,
        fields=("pelvis AP",),
    ),
    Simulation(
        title="Knee, two views",
        credit="Simulated from real bones (TLEM 2) of msk-STAPLE (Modenese & Renault 2021), CC BY-NC 4.0.",
        person="tlem2",
        seed=0,
        fields=("knee AP", "knee lateral"),
    ),
)


def main() -> None:
    """Reconstruct the studies and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", type=Study.parse)
    given = parser.parse_args().studies
    PICTURES.mkdir(parents=True, exist_ok=True)
    sections = [_shown(study) for study in given] if given else [_shown(SAMPLE), *map(_simulated, SIMULATIONS)]
    page = "\n".join([PREFACE, *sections])
    PAGE.write_text(page, encoding="utf-8")
    for picture in PICTURES.iterdir():
        if picture.name not in page:
            picture.unlink()


def _simulated(simulation: Simulation) -> str:
    """The section of a simulated study; where there are no bones to simulate it from, what the page has of it."""
    if not BONES.is_file():
        sys.stderr.write(f"{simulation.title}: stays as it is, there is no {BONES}\n")
        page = PAGE.read_text(encoding="utf-8")
        kept = re.search(rf"^## {re.escape(simulation.title)}\n.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        return f"{kept[0].rstrip()}\n" if kept else ""
    with tempfile.TemporaryDirectory(prefix="bonecraft-gallery-") as scratch:
        return _shown(simulation.run(Path(scratch) / "radiographs"))


def _shown(study: Study) -> str:
    """The section of a study, with its pictures drawn."""
    with tempfile.TemporaryDirectory(prefix="bonecraft-gallery-") as scratch:
        out = Path(scratch) / "results"
        report = reconstruct_study(sorted(study.folder.glob("*.dcm")), out)
        return "\n".join(_section(study, report, out))


def _section(study: Study, report: Report, out: Path) -> Iterator[str]:
    yield f"## {study.title}\n"
    if report.refusal is not None:
        yield f"Refused: {report.refusal.sentence}\n"
        return
    yield f"{study.credit}\n"
    if study.recipe:
        yield f"```sh\n{study.recipe}\n```\n"
    for kind, words, height in SHOWN:
        pictures = [picture for file in _of(report, kind) for picture in _pictures(out / file.path, kind)]
        if pictures:
            path = PICTURES / f"{study.name}_{kind}.jpg"
            path.write_bytes(_jpeg(_side_by_side(pictures, height)))
            yield f"**{words}**\n\n![{words}](images/gallery/{path.name})\n"
    yield from _sizes(study, report, out)


SHOWN: Final = (
    (FileKind.SECONDARY_CAPTURE, "The radiographs with the outlines of the bones", 900),
    (FileKind.KEY_RENDERING, "The bones from the standard sides", 560),
    (FileKind.TURNTABLE, "The bones turning", 400),
    (FileKind.MEASUREMENT_PAGE, "The measurements", 1300),
)
"""With the height of a picture at most, pixels."""


def _of(report: Report, kind: FileKind) -> list[ResultFile]:
    return [file for file in report.files if file.kind is kind]


def _pictures(path: Path, kind: FileKind) -> list[Picture]:
    pixels = dcmread(path).pixel_array
    if kind is FileKind.TURNTABLE:
        return [pixels[number] for number in np.linspace(0, len(pixels), TURNS, endpoint=False).astype(int)]
    return [pixels]


def _side_by_side(pictures: Sequence[Picture], height: int) -> Picture:
    height = min(height, *(len(picture) for picture in pictures))
    sizes = [(round(picture.shape[1] * height / len(picture)), height) for picture in pictures]
    shown = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each, size in zip(pictures, sizes, strict=True)]
    return np.hstack(shown)


def _jpeg(picture: Picture) -> bytes:
    qualities = ((cv2.IMWRITE_JPEG_QUALITY, quality) for quality in QUALITIES)
    tried = (cv2.imencode(".jpg", picture[..., ::-1], quality)[1].tobytes() for quality in qualities)
    return next(data for data in tried if len(data) <= MOST_BYTES)


def _sizes(study: Study, report: Report, out: Path) -> Iterator[str]:
    """A row for each kind of object, and what it took to write them."""
    sources = [dcmread(path) for path in sorted(study.folder.glob("*.dcm"))]
    kinds = list(dict.fromkeys(file.kind for file in report.files if file.kind.is_dicom))
    yield "| object | instances | MB | MB deflated | ms to encode and check |\n|---|---:|---:|---:|---:|"
    rows = [_row([out / file.path for file in _of(report, kind)], sources) for kind in kinds]
    for kind, row in zip(kinds, rows, strict=True):
        yield _cells(str(kind), row)
    yield _cells("**all**", np.sum(rows, axis=0))
    yield f"\nMilliseconds of processor time; how long rendering and writing take is in {BENCHMARKS}. {measured()}\n"


def _row(paths: Sequence[Path], sources: Sequence[Dataset]) -> npt.NDArray[np.float64]:
    """Instances, bytes, bytes when deflated (1.2.840.10008.1.2.1.99), and ms of processor time to encode and check."""
    contents = [path.read_bytes() for path in paths]
    datasets = [dcmread(path) for path in paths]
    start = time.process_time()
    for dataset in datasets:
        require_sound(dcmread(io.BytesIO(encode(dataset))), sources=sources)
    spent = 1000 * (time.process_time() - start)
    deflated = sum(len(zlib.compress(content)) for content in contents)
    return np.array([len(paths), sum(map(len, contents)), deflated, spent], float)


def _cells(name: str, row: npt.NDArray[np.float64]) -> str:
    return f"| {name} | {row[0]:.0f} | {row[1] / 1e6:.2f} | {row[2] / 1e6:.2f} | {row[3]:.0f} |"


if __name__ == "__main__":
    main()
