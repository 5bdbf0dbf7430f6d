"""May this picture be reconstructed? What the picture shows, checked against what the sender said of it.

A small network looks at the picture; the sender's words are a prior, never the truth. Some things no network is needed
for: a patient's age, a picture in colour, a blank.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.errors import Refusal, RefusalCode
from pipeline.radiograph import Radiograph, Side, View
from pipeline.stages.enhance import EnhancedImage, enhance

FloatImage = npt.NDArray[np.float32]
Gate = Callable[[FloatImage], FloatImage]
"""The gate network: (1, 1, GATE_SIZE, GATE_SIZE) float32 → (1, classes + 2) logits, see `Content` and `gate_scores`."""

GATE_SIZE: Final = 160
"""Side of the square that the gate network looks at, pixels."""

ADULT_AGE_YEARS: Final = 16.0
"""Below it growth plates are usually open, and the model of adults' bones does not apply."""

FLAT_SPREAD: Final = 1e-3
"""A picture whose 5th and 95th percentiles are closer than this share of their size shows nothing."""

FEMUR_NEEDED: Final = 0.6
"""Probability of a femur below which a picture is refused."""

SURE: Final = 0.9
"""Probability from which the picture is believed against the sender's words."""


class Content(StrEnum):
    """What a picture shows; the order of the gate network's classes."""

    FEMUR = "femur"
    LOWER_LEG = "lower leg"
    FOOT = "foot or ankle"
    TRUNK = "chest or abdomen"
    HEAD = "head or teeth"
    ARM = "hand or arm"
    CHILD = "child"
    NO_RADIOGRAPH = "no radiograph"


CONTENTS: Final = tuple(Content)


@dataclass(frozen=True, kw_only=True)
class GateScores:
    """What the network sees.

    Attributes:
        contents: Probability of each content, summing to 1.
        lateral: Probability that a femur is seen from the side.
        inverted: Probability that bone is dark, though the sender says that it is bright.
    """

    contents: dict[Content, float]
    lateral: float
    inverted: float


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """How an admitted picture is to be read.

    Attributes:
        view: As the picture shows it, or as the sender said where the picture leaves room.
        side: As the sender said.
        inverted: Bone is dark, though the sender says that it is bright: the picture has to be turned round.
        scores: What the network saw.
        notes: Where picture and sender disagree, in sentences.
    """

    view: View
    side: Side | None
    inverted: bool
    scores: GateScores
    notes: tuple[str, ...] = ()


def gate(radiograph: Radiograph, network: Gate) -> GateDecision:
    """Admit a radiograph of an adult's femur.

    Args:
        radiograph: As read.
        network: The gate network.

    Raises:
        Refusal: The picture shows something else, or nothing, or a child.
    """
    _check_contrast(radiograph)
    scores = gate_scores(enhance(radiograph), network)
    if radiograph.was_colour:
        _refuse_colour(scores)
    _check_content(scores)
    _check_age(radiograph)
    view, notes = _view(radiograph, scores)
    return GateDecision(view=view, side=radiograph.side, inverted=scores.inverted > SURE, scores=scores, notes=notes)


def gate_input(image: FloatImage) -> FloatImage:
    """(GATE_SIZE, GATE_SIZE) an enhanced image, shrunk and centred on a square."""
    factor = GATE_SIZE / max(image.shape)
    size = tuple(max(round(n * factor), 1) for n in image.shape[::-1])
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    square = np.zeros((GATE_SIZE, GATE_SIZE), dtype=np.float32)
    top, left = (GATE_SIZE - small.shape[0]) // 2, (GATE_SIZE - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


def gate_scores(enhanced: EnhancedImage, network: Gate) -> GateScores:
    """What the network makes of an enhanced image; the last two logits are those of `lateral` and `inverted`."""
    logits = network(gate_input(enhanced.image)[None, None])[0].astype(np.float64)
    weights = np.exp(logits[: len(CONTENTS)] - logits[: len(CONTENTS)].max())
    lateral, inverted = 1 / (1 + np.exp(-logits[len(CONTENTS) :]))
    shares = (weights / weights.sum()).tolist()
    return GateScores(
        contents=dict(zip(CONTENTS, shares, strict=True)), lateral=float(lateral), inverted=float(inverted)
    )


def _check_age(radiograph: Radiograph) -> None:
    age = radiograph.patient_age_years
    if age is not None and age < ADULT_AGE_YEARS:
        raise Refusal(
            RefusalCode.CHILD,
            f"The patient is younger than {ADULT_AGE_YEARS:.0f}: the model knows adults' bones only.",
        )


def _check_contrast(radiograph: Radiograph) -> None:
    low, high = np.percentile(radiograph.pixels, [5, 95])
    if high - low <= FLAT_SPREAD * max(abs(float(high)), abs(float(low)), 1.0):
        raise Refusal(RefusalCode.NOT_A_RADIOGRAPH, "The picture is blank: it shows nothing.")


def _refuse_colour(scores: GateScores) -> None:
    """No radiographic detector delivers colour: such a picture was converted, and its spacing with it."""
    seen = _likeliest(scores)
    if seen is Content.CHILD:
        raise Refusal(RefusalCode.CHILD, _SENTENCES[Content.CHILD])
    raise Refusal(
        RefusalCode.NOT_A_RADIOGRAPH,
        "The picture came in colour: it is a converted copy, not what a detector delivered. Send the original.",
    )


def _check_content(scores: GateScores) -> None:
    if scores.contents[Content.FEMUR] >= FEMUR_NEEDED:
        return
    seen = _likeliest(scores)
    code = {Content.CHILD: RefusalCode.CHILD, Content.NO_RADIOGRAPH: RefusalCode.NOT_A_RADIOGRAPH}
    raise Refusal(code.get(seen, RefusalCode.WRONG_BODY_PART), _SENTENCES[seen])


def _likeliest(scores: GateScores) -> Content:
    """What is seen instead of a femur; "no radiograph" only where it outweighs everything else together."""
    if scores.contents[Content.NO_RADIOGRAPH] > 0.5:
        return Content.NO_RADIOGRAPH
    parts = [content for content in CONTENTS if content not in (Content.FEMUR, Content.NO_RADIOGRAPH)]
    return max(parts, key=lambda content: scores.contents[content])


_SENTENCES: Final = {
    Content.LOWER_LEG: "The picture shows a lower leg: only the femur can be reconstructed.",
    Content.FOOT: "The picture shows a foot or an ankle: only the femur can be reconstructed.",
    Content.TRUNK: "The picture shows the trunk: only the femur can be reconstructed.",
    Content.HEAD: "The picture shows the head or teeth: only the femur can be reconstructed.",
    Content.ARM: "The picture shows a hand or an arm: only the femur can be reconstructed.",
    Content.CHILD: "The bones look like a child's, whose growth plates are open: the model knows adults' bones only.",
    Content.NO_RADIOGRAPH: "The picture does not look like a radiograph.",
}


def _view(radiograph: Radiograph, scores: GateScores) -> tuple[View, tuple[str, ...]]:
    """The view, believing the sender unless the picture clearly says otherwise."""
    seen = View.LATERAL if scores.lateral > 0.5 else View.AP
    said = radiograph.view
    if said is None:
        return seen, (f"Nobody says which view this is: it looks like {seen}.",)
    sure = max(scores.lateral, 1 - scores.lateral) > SURE_OF_VIEW
    if sure and said.is_frontal != seen.is_frontal:
        return seen, (f"The sender calls this view {said}, but it looks like {seen}.",)
    return said, ()


SURE_OF_VIEW: Final = 0.98
