"""Write the tables and the plot of docs/accuracy.md from what the evaluations measured.

    python -m models.training.accuracy_page --end-to-end JSON ... --true-outlines JSON ... --femur JSON

The files are what `evaluate_bones` (twice: with networks, without) and `evaluate` write.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.training import evaluate, evaluate_bones
from models.training.bone_cases import CASES
from models.training.evaluate import Outcome
from models.training.evaluate_bones import BoneOutcome

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "accuracy.md"
PLOT = DOCS / "images" / "accuracy.png"

ROW_HEIGHT, LEFT, WIDTH, MOST_MM = 34, 330, 1100, 3.0
INK, FAINT, ALONG = (60, 60, 60), (225, 225, 225), (180, 110, 30)

Picture = npt.NDArray[np.uint8]


def read_bones(paths: Sequence[Path]) -> list[BoneOutcome]:
    """What `evaluate_bones` wrote."""
    return [BoneOutcome(**each) for path in paths for each in json.loads(path.read_text())]


def read_femora(path: Path) -> list[Outcome]:
    """What `evaluate` wrote."""
    return [Outcome(**each) for each in json.loads(path.read_text())]


def coverage_table(outcomes: Sequence[BoneOutcome]) -> str:
    """How often the 90 % intervals hold per bone: over bones, with the range over people, and how wide they are."""
    lines = [
        "| bone | reconstructions (people) | 90 % interval holds | by person | half-width / error |",
        "|---|---|---|---|---|",
    ]
    for kind in sorted({outcome.kind for outcome in outcomes}):
        rows = [outcome for outcome in outcomes if outcome.kind == kind and not outcome.refused]
        people = sorted({row.person for row in rows})
        by_person = [np.mean([_held(row) for row in rows if row.person == person]) for person in people]
        width = np.median([evaluate_bones.NORMAL_90_PERCENT * row.expected / row.asd for row in rows])
        lines.append(
            f"| {kind.replace('_', ' ')} | {len(rows)} ({len(people)}) | {np.mean([_held(row) for row in rows]):.0%} "
            f"| {min(by_person):.0%} to {max(by_person):.0%} | {width:.1f} |"
        )
    return "\n".join(lines)


def _held(outcome: BoneOutcome) -> float:
    return float(np.mean(np.array(outcome.ratios) <= evaluate_bones.NORMAL_90_PERCENT))


def plot(outcomes: Sequence[BoneOutcome]) -> Picture:
    """(h, w, 3) a dot for every bone, a row for every case and kind: average surface distance in mm."""
    rows = [
        (case.title, str(kind), found)
        for case in CASES
        for kind in case.judged
        if (found := [o for o in outcomes if (o.case, o.kind) == (case.title, str(kind)) and not o.refused])
    ]
    picture = np.full((ROW_HEIGHT * (len(rows) + 2), WIDTH, 3), 255, dtype=np.uint8)
    for half in range(int(2 * MOST_MM) + 1):
        x = _at(half / 2)
        cv2.line(picture, (x, 8), (x, ROW_HEIGHT * (len(rows) + 1)), FAINT, 1)
        _text(picture, f"{half / 2:.1f}" + (" mm" if half == 0 else ""), (x - 12, ROW_HEIGHT * (len(rows) + 2) - 20))
    for number, (case, kind, found) in enumerate(rows):
        y = ROW_HEIGHT * (number + 1) - 8
        _text(picture, f"{case}: {kind.replace('_', ' ')}", (12, y + 5))
        for outcome in found:
            cv2.circle(picture, (_at(outcome.asd), y), 5, ALONG, 1, cv2.LINE_AA)
        middle, mean = (_at(float(np.median([getattr(o, name) for o in found]))) for name in ("asd", "mean_shape"))
        cv2.line(picture, (middle, y - 11), (middle, y + 11), ALONG, 3)
        cv2.line(picture, (mean, y - 7), (mean, y + 7), (150, 150, 150), 2)
    return picture


def _at(millimetres: float) -> int:
    return round(LEFT + (WIDTH - LEFT - 40) * min(millimetres, MOST_MM) / MOST_MM)


def _text(picture: Picture, words: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)


def with_section(page: str, name: str, text: str) -> str:
    """The page with other text between the markers of a section.

    Raises:
        ValueError: The page has no such section.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"no section <!-- {name} --> in the page")
    return pattern.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--end-to-end", type=Path, nargs="+", required=True)
    parser.add_argument("--true-outlines", type=Path, nargs="+", required=True)
    parser.add_argument("--femur", type=Path, required=True)
    given = parser.parse_args()
    measured = read_bones(given.end_to_end)
    page = PAGE.read_text(encoding="utf-8")
    for name, text in (
        ("end-to-end", evaluate_bones.table(measured)),
        ("true-outlines", evaluate_bones.table(read_bones(given.true_outlines))),
        ("femur", evaluate.table(read_femora(given.femur))),
        ("intervals", coverage_table(measured)),
    ):
        page = with_section(page, name, text)
    PAGE.write_text(page, encoding="utf-8")
    cv2.imwrite(str(PLOT), plot(measured))


if __name__ == "__main__":
    main()
