"""`make gallery`: what comes back of a few studies, as pictures and with its sizes, into docs/gallery.md.

python -m tests.showcase.gallery "Title=FOLDER[: credit]" ...

Without studies it shows the one that comes with Bonecraft.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import dcmread

from pipeline.cli.sample import sample_folder
from pipeline.results import FileKind, Report, ResultFile
from pipeline.study import reconstruct_study
from tests.benchmarks.results import machine

DOCS: Final = Path(__file__).parents[2] / "docs"
PICTURES: Final = DOCS / "images" / "gallery"
HEIGHT: Final = 420
"""Of a picture in a strip, pixels."""

QUALITY: Final = 82
TURNS: Final = 6
"""Frames of the turntable that are shown, evenly spread."""

Picture = npt.NDArray[Any]

PREFACE: Final = """# Gallery

What a PACS gets of a study, written by `make gallery`. Every picture below is one of the DICOM instances, read back
from its file. What each of them is, is in [dicom-results.md](dicom-results.md); how far to trust them in
[radiologists.md](radiologists.md). For research and decision support; not for diagnosis alone.
"""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study to show: its title, its files, and whose bones they are."""

    title: str
    folder: Path
    credit: str

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


def main() -> None:
    """Reconstruct the studies and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", type=Study.parse)
    studies = parser.parse_args().studies or [
        Study(title="Hip, two views", folder=sample_folder(), credit="The sample study.")
    ]
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    sections = [PREFACE]
    for study in studies:
        with tempfile.TemporaryDirectory(prefix="bonecraft-gallery-") as scratch:
            out = Path(scratch) / "results"
            report = reconstruct_study(sorted(study.folder.glob("*.dcm")), out)
            sections.append("\n".join(_section(study, report, out)))
    (DOCS / "gallery.md").write_text("\n".join(sections), encoding="utf-8")


def _section(study: Study, report: Report, out: Path) -> Iterator[str]:
    yield f"## {study.title}\n"
    if report.refusal is not None:
        yield f"Refused: {report.refusal.sentence}\n"
        return
    yield f"{study.credit}\n"
    for kind, words in SHOWN:
        pictures = [_of_height(picture) for file in _of(report, kind) for picture in _pictures(out / file.path, kind)]
        if pictures:
            path = PICTURES / f"{study.name}_{kind}.jpg"
            cv2.imwrite(str(path), np.hstack(pictures)[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
            yield f"**{words}**\n\n![{words}](images/gallery/{path.name})\n"
    yield from _sizes(report, out)


SHOWN: Final = (
    (FileKind.SECONDARY_CAPTURE, "The radiographs with the outlines of the bones"),
    (FileKind.KEY_RENDERING, "The bones from the standard sides"),
    (FileKind.TURNTABLE, "The bones turning"),
    (FileKind.MEASUREMENT_PAGE, "The measurements"),
)


def _of(report: Report, kind: FileKind) -> list[ResultFile]:
    return [file for file in report.files if file.kind is kind]


def _pictures(path: Path, kind: FileKind) -> list[Picture]:
    pixels = dcmread(path).pixel_array
    if kind is FileKind.TURNTABLE:
        return [pixels[number] for number in np.linspace(0, len(pixels), TURNS, endpoint=False).astype(int)]
    return [pixels]


def _of_height(picture: Picture) -> Picture:
    rows, columns = picture.shape[:2]
    return cv2.resize(picture, (round(columns * HEIGHT / rows), HEIGHT), interpolation=cv2.INTER_AREA)


def _sizes(report: Report, out: Path) -> Iterator[str]:
    """A row for each kind of object, and what it took to write them."""
    kinds = list(dict.fromkeys(file.kind for file in report.files if file.kind.is_dicom))
    yield "| object | instances | MB | MB deflated |\n|---|---:|---:|---:|"
    rows = [_row([out / file.path for file in _of(report, kind)]) for kind in kinds]
    for kind, row in zip(kinds, rows, strict=True):
        yield _cells(str(kind), row)
    yield _cells("**all**", np.sum(rows, axis=0))
    seconds = {stage.name: stage.seconds for stage in report.stages}
    yield f"\nRendered in {seconds['render']:.1f} s, written and checked in {seconds['write']:.1f} s ({machine()}).\n"


def _row(paths: Sequence[Path]) -> npt.NDArray[np.float64]:
    """Instances, bytes, and bytes when deflated (1.2.840.10008.1.2.1.99)."""
    contents = [path.read_bytes() for path in paths]
    return np.array([len(paths), sum(map(len, contents)), sum(len(zlib.compress(each)) for each in contents)], float)


def _cells(name: str, row: npt.NDArray[np.float64]) -> str:
    return f"| {name} | {row[0]:.0f} | {row[1] / 1e6:.2f} | {row[2] / 1e6:.2f} |"


if __name__ == "__main__":
    main()
