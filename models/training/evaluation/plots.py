"""The results as pictures: how far every bone is off, and what disturbances cost."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from models.training.disturbance import LEVELS, Disturbance, Sweep
from models.training.evaluation.plan import EXAMINATIONS
from models.training.evaluation.results import StudyResult
from models.training.evaluation.robustness import bone_pairs, cost, pairs
from models.training.evaluation.tables import came, groups, ordinary

Picture = npt.NDArray[np.uint8]

ROW_HEIGHT, LEFT, WIDTH, MOST_MM = 34, 330, 1100, 3.0
PANEL, PANEL_HEIGHT, MARGIN, MOST_COST = 360, 300, 52, 1.0
INK, FAINT, ALONG, MIDDLE = (60, 60, 60), (225, 225, 225), (180, 110, 30), (150, 150, 150)
LINES = ((180, 110, 30), (40, 110, 210), (80, 150, 60), (160, 70, 160))


def accuracy_plot(results: Sequence[StudyResult]) -> Picture:
    """(h, w, 3) a dot for every bone, a row for every examination and kind: average surface distance in mm."""
    rows = [(title, kind, found) for title, kind, judged in groups(ordinary(results)) if (found := came(judged))]
    picture = np.full((ROW_HEIGHT * (len(rows) + 2), WIDTH, 3), 255, dtype=np.uint8)
    for half in range(int(2 * MOST_MM) + 1):
        x = _at(half / 2)
        cv2.line(picture, (x, 8), (x, ROW_HEIGHT * (len(rows) + 1)), FAINT, 1)
        _text(picture, f"{half / 2:.1f}" + (" mm" if half == 0 else ""), (x - 12, ROW_HEIGHT * (len(rows) + 2) - 20))
    for number, (title, kind, found) in enumerate(rows):
        y = ROW_HEIGHT * (number + 1) - 8
        _text(picture, f"{title}: {kind}", (12, y + 5))
        for _, bone in found:
            cv2.circle(picture, (_at(bone.asd), y), 5, ALONG, 1, cv2.LINE_AA)
        own, mean = (
            _at(float(np.median([getattr(bone, name) for _, bone in found]))) for name in ("asd", "mean_shape")
        )
        cv2.line(picture, (own, y - 11), (own, y + 11), ALONG, 3)
        cv2.line(picture, (mean, y - 7), (mean, y + 7), MIDDLE, 2)
    return picture


def _at(millimetres: float) -> int:
    return round(LEFT + (WIDTH - LEFT - 40) * min(millimetres, MOST_MM) / MOST_MM)


def robustness_plot(results: Sequence[StudyResult]) -> Picture:
    """(h, w, 3) a panel for every sweep: by how much the average surface distance grows, a line for every bone."""
    sweeps = [sweep for sweep in Sweep if any(result.disturbance.sweep is sweep for result in results)]
    names = list(dict.fromkeys(name for sweep in sweeps for name in costs(sweep, results)))
    picture = np.full((PANEL_HEIGHT + 24 * len(names) + 30, PANEL * max(len(sweeps), 1), 3), 255, dtype=np.uint8)
    for number, sweep in enumerate(sweeps):
        _panel(picture[:PANEL_HEIGHT, number * PANEL : (number + 1) * PANEL], sweep, results, names)
    for number, name in enumerate(names):
        y = PANEL_HEIGHT + 24 * number + 20
        cv2.line(picture, (MARGIN, y - 5), (MARGIN + 30, y - 5), LINES[number % len(LINES)], 2, cv2.LINE_AA)
        _text(picture, name, (MARGIN + 40, y))
    return picture


def costs(sweep: Sweep, results: Sequence[StudyResult]) -> dict[str, list[tuple[float, float]]]:
    """Level and cost, from none on, by examination and bone."""
    found: dict[str, list[tuple[float, float]]] = {}
    for level in LEVELS[sweep]:
        studies = pairs(Disturbance(sweep=sweep, level=level), results)
        for examination in EXAMINATIONS:
            own = [pair for pair in studies if pair[0].examination == examination.title]
            for kind in examination.judged:
                grown = cost(bone_pairs(own, str(kind)))
                if not np.isnan(grown):
                    found.setdefault(f"{examination.title}: {kind.words}", []).append((level, grown))
    return found


def _panel(panel: Picture, sweep: Sweep, results: Sequence[StudyResult], names: Sequence[str]) -> None:
    """Draw one sweep; what is nothing lies a step before the first level."""
    levels = sorted((*LEVELS[sweep], 1.0 if sweep in (Sweep.NOISE, Sweep.EXPOSURE) else 0.0))
    places = {level: MARGIN + round((PANEL - 2 * MARGIN) * n / (len(levels) - 1)) for n, level in enumerate(levels)}
    _text(panel, str(sweep), (MARGIN, 22))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        cv2.line(panel, (MARGIN, _height(share)), (PANEL - MARGIN, _height(share)), FAINT, 1)
        _text(panel, f"{share:+.0%}", (4, _height(share) + 5))
    for level, x in places.items():
        _text(panel, f"{level:g}", (x - 8, PANEL_HEIGHT - 14))
    nothing = 1.0 if sweep in (Sweep.NOISE, Sweep.EXPOSURE) else 0.0
    for name, points in costs(sweep, results).items():
        line = [(places[level], _height(grown)) for level, grown in sorted([*points, (nothing, 0.0)])]
        colour = LINES[names.index(name) % len(LINES)]
        cv2.polylines(panel, [np.array(line, dtype=np.int32)], isClosed=False, color=colour, thickness=2)
        for place in line:
            cv2.circle(panel, place, 3, colour, -1, cv2.LINE_AA)


def _height(grown: float) -> int:
    bottom, top = PANEL_HEIGHT - 60, 40
    return round(bottom - (bottom - top) * float(np.clip(grown, -0.2, MOST_COST)) / MOST_COST)


def _text(picture: Picture, words: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
