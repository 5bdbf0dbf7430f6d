"""How often the gate is right, on films of people that its network has not seen.

python -m models.training.evaluate_gate --gate DIR/gate.onnx --films A.npz B.npz --hold-out 1 --out J.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models.training.train_gate import FilmFiles
from pipeline.stages.gate import (
    CONTENTS,
    HINDRANCES,
    RECONSTRUCTED,
    Content,
    Gate,
    GateScores,
    Hindrance,
    read_scores,
    refusal_of,
)
from pipeline.weights import OnnxNetwork

BoolArray = npt.NDArray[np.bool_]

ADULT_LEGS: Final = tuple(dict.fromkeys((*RECONSTRUCTED, Content.LOWER_LEG)))
"""What is judged as if it could be reconstructed: also a lower leg, which the gate must know from everything else."""

THRESHOLDS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

Table = dict[str, object]


class Judged:
    """Films with what the gate makes of them.

    Args:
        files: The films.
        network: The gate's.
    """

    def __init__(self, files: FilmFiles, network: Gate) -> None:
        self.files = files
        self.scores = _scores(files, network, turned=1)
        self.turned = _scores(files, network, turned=-1)
        self.refused = np.array([refusal_of(each, ADULT_LEGS) is not None for each in self.scores])

    def of(self, contents: Sequence[Content]) -> BoolArray:
        """Which films show one of some contents."""
        return np.isin(self.files.classes, [CONTENTS.index(content) for content in contents])

    @property
    def unhindered(self) -> BoolArray:
        """Films of adults' legs and pelves with nothing in the way."""
        return np.asarray(self.of(ADULT_LEGS) & (self.files.hindrances == 0).all(axis=1))

    def shows(self, hindrance: Hindrance) -> BoolArray:
        """Films of adults' legs and pelves with something in the way."""
        return np.asarray(self.of(ADULT_LEGS) & (self.files.hindrances[:, HINDRANCES.index(hindrance)] == 1))


def _scores(files: FilmFiles, network: Gate, *, turned: int) -> list[GateScores]:
    """What the network makes of every film, or with -1 of its negative."""
    images = turned * files.images.astype(np.float32)
    return [read_scores(network(image[None, None])[0]) for image in images]


def table(judged: Judged) -> Table:
    """Everything the card states."""
    return {
        "adults' legs and pelves refused": {
            "all": _share(judged.refused, judged.unhindered),
            **{str(part): _share(judged.refused, judged.unhindered & judged.of([part])) for part in ADULT_LEGS},
        },
        "refused with": {str(each): _share(judged.refused, judged.shows(each)) for each in HINDRANCES},
        "refused": {
            str(part): _share(judged.refused, judged.of([part])) for part in CONTENTS if part not in ADULT_LEGS
        },
        "content right": {str(part): _share(_right(judged), judged.of([part])) for part in CONTENTS},
        "view right": _view(judged),
        "polarity right": _polarity(judged),
        "thresholds": {str(each): _thresholds(judged, each) for each in HINDRANCES},
    }


def _share(what: BoolArray, where: BoolArray) -> str:
    """``12.3 % of 456``."""
    return f"{100 * float(what[where].mean()):.1f} % of {int(where.sum())}" if where.any() else "none"


def _right(judged: Judged) -> BoolArray:
    seen = np.array([CONTENTS.index(max(CONTENTS, key=lambda c: each.contents[c])) for each in judged.scores])
    return np.asarray(seen == judged.files.classes)


def _view(judged: Judged) -> dict[str, str]:
    """Where it is right, by content, and how often where the network is sure of it."""
    lateral = np.array([each.lateral for each in judged.scores])
    asked = judged.of(ADULT_LEGS) & (judged.files.laterals >= 0)
    right = (lateral > 0.5) == (judged.files.laterals == 1)
    sure = np.maximum(lateral, 1 - lateral) > 0.98
    by_content = {str(part): _share(right, asked & judged.of([part])) for part in ADULT_LEGS}
    return {"all": _share(right, asked), **by_content, "where sure": _share(right, asked & sure)}


def _polarity(judged: Judged) -> str:
    legs = judged.of(ADULT_LEGS)
    upright = np.array([each.inverted <= 0.5 for each in judged.scores])
    turned = np.array([each.inverted > 0.5 for each in judged.turned])
    return _share(np.concatenate([upright, turned]), np.concatenate([legs, legs]))


def _thresholds(judged: Judged, hindrance: Hindrance) -> dict[str, str]:
    """Recall and false alarms at every threshold."""
    found = np.array([each.hindrances[hindrance] for each in judged.scores])
    shown = judged.shows(hindrance)
    return {
        f"{needed}": f"{_share(found >= needed, shown)} found, {_share(found >= needed, judged.unhindered)} false"
        for needed in THRESHOLDS
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gate", type=Path, required=True)
    parser.add_argument("--films", type=Path, nargs="+", required=True)
    parser.add_argument("--hold-out", type=int, required=True, help="the fold whose people the network has not seen")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    files = FilmFiles.load(given.films)
    held_out = files.only(files.held_out(given.hold_out))
    text = json.dumps(table(Judged(held_out, OnnxNetwork(given.gate, threads=1))), indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
