"""May this picture be reconstructed? What the picture shows, checked against what the sender said of it.

A small network looks at the picture; the sender's words are a prior, never the truth. Some things no network is needed
for: a patient's age, a picture in colour, a blank.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.errors import Refusal, RefusalCode
from pipeline.radiograph import Radiograph, Side, View
from pipeline.regions import Region
from pipeline.stages.enhance import EnhancedImage, enhance

FloatImage = npt.NDArray[np.float32]
Gate = Callable[[FloatImage], FloatImage]
"""The gate network: (1, 1, GATE_SIZE, GATE_SIZE) float32 → (1, LOGITS) logits, see `gate_scores`."""

GATE_SIZE: Final = 192
"""Side of the square that the gate network looks at, pixels."""

ADULT_AGE_YEARS: Final = 16.0
"""Below it growth plates are usually open, and the model of adults' bones does not apply."""

FLAT_SPREAD: Final = 1e-3
"""A picture whose 5th and 95th percentiles are closer than this share of their size shows nothing."""

ADMITTED_NEEDED: Final = 0.6
"""Probability of all admitted contents together below which a picture is refused."""

PELVIS_NEEDED: Final = 0.8
"""The same where a pelvis is what is likeliest: an infant's is not far from an adult's."""

SURE: Final = 0.9
"""Probability from which the picture is believed against the sender's words."""


class Content(StrEnum):
    """What a picture shows; the order of the gate network's classes."""

    PELVIS = "pelvis"
    HIP = "hip"
    FEMUR = "femur"
    KNEE = "knee"
    LOWER_LEG = "lower leg"
    FOOT = "foot or ankle"
    TRUNK = "chest or abdomen"
    HEAD = "head or teeth"
    ARM = "hand or arm"
    CHILD = "child"
    NO_RADIOGRAPH = "no radiograph"


CONTENTS: Final = tuple(Content)

RECONSTRUCTED: Final = tuple(Content(region.value) for region in Region)
"""What is admitted: every content with a bone that the models can reconstruct."""

RECONSTRUCTED_PARTS: Final = "pelvis, hip, femur and knee"
"""The same, in the sentences that refuse everything else."""


class Hindrance(StrEnum):
    """What lies in the way of a reconstruction; the order of the gate network's last answers."""

    METAL = "metal"
    CAST = "cast"
    FRACTURE = "displaced fracture"


HINDRANCES: Final = tuple(Hindrance)

HINDRANCE_NEEDED: Final = {Hindrance.METAL: 0.65, Hindrance.CAST: 0.4, Hindrance.FRACTURE: 0.7}
"""Probability from which a picture is refused for a hindrance: each turns away about one in a hundred films that have
none (models/cards/gate.md)."""

LOGITS: Final = len(CONTENTS) + 2 + len(HINDRANCES)


@dataclass(frozen=True, kw_only=True)
class GateScores:
    """What the network sees.

    Attributes:
        contents: Probability of each content, summing to 1.
        lateral: Probability that the beam crossed the body from side to side.
        inverted: Probability that bone is dark, though the sender says that it is bright.
        hindrances: Probability of each hindrance.
    """

    contents: dict[Content, float]
    lateral: float
    inverted: float
    hindrances: dict[Hindrance, float]


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """How an admitted picture is to be read.

    Attributes:
        content: What the picture shows.
        view: As the picture shows it, or as the sender said where the picture leaves room.
        side: As the sender said.
        inverted: Bone is dark, though the sender says that it is bright: the picture has to be turned round.
        scores: What the network saw.
        notes: Where picture and sender disagree, in sentences.
    """

    content: Content
    view: View
    side: Side | None
    inverted: bool
    scores: GateScores
    notes: tuple[str, ...] = ()


def gate(radiograph: Radiograph, network: Gate) -> GateDecision:
    """Admit a radiograph of an adult's bones that can be reconstructed.

    Args:
        radiograph: As read.
        network: The gate network.

    Raises:
        Refusal: The picture shows something else, or nothing, or a child, or a bone that is not as it grew.
    """
    _check_contrast(radiograph)
    enhanced = enhance(radiograph)
    scores = gate_scores(enhanced, network)
    if radiograph.was_colour:
        _refuse_colour(scores)
    refusal = refusal_of(scores)
    if refusal:
        raise refusal
    _check_age(radiograph)
    view, notes = _view(radiograph, scores)
    return GateDecision(
        content=max(RECONSTRUCTED, key=lambda content: scores.contents[content]),
        view=view,
        side=radiograph.side,
        inverted=scores.inverted > SURE and _negative_looks_right(enhanced, network),
        scores=scores,
        notes=notes,
    )


def gate_study(radiographs: Sequence[Radiograph], network: Gate) -> list[GateDecision | Refusal]:
    """Admit or refuse the radiographs of one study.

    What one picture shows of metal or of a displaced fracture holds for every other that may show the same side: the
    bone is not completed from a view in which it cannot be seen.

    Args:
        radiographs: Of one study.
        network: The gate network.

    Returns:
        A decision or a refusal for each, in their order.
    """
    verdicts = [_verdict(radiograph, network) for radiograph in radiographs]
    altered = [
        (radiograph.side, verdict.code)
        for radiograph, verdict in zip(radiographs, verdicts, strict=True)
        if isinstance(verdict, Refusal) and verdict.code in _ELSEWHERE
    ]
    return [_mindful(*each, altered) for each in zip(radiographs, verdicts, strict=True)]


def _verdict(radiograph: Radiograph, network: Gate) -> GateDecision | Refusal:
    try:
        return gate(radiograph, network)
    except Refusal as refusal:
        return refusal


def _mindful(
    radiograph: Radiograph, verdict: GateDecision | Refusal, altered: Sequence[tuple[Side | None, RefusalCode]]
) -> GateDecision | Refusal:
    """The verdict on a picture, given which sides other pictures have shown to be altered; None may be either side."""
    for side, code in altered:
        same = side is None or radiograph.side is None or side is radiograph.side
        if same and isinstance(verdict, GateDecision):
            return Refusal(code, _ELSEWHERE[code])
    return verdict


_ELSEWHERE: Final = {
    RefusalCode.METAL: "Another film that may show the same side has metal on it: its bones are not reconstructed.",
    RefusalCode.FRACTURE: "Another film that may show the same side looks like a displaced fracture: its bones are not"
    " reconstructed.",
}


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
    """What the network makes of an enhanced image."""
    return read_scores(network(gate_input(enhanced.image)[None, None])[0])


def read_scores(logits: FloatImage) -> GateScores:
    """What (LOGITS,) answers of the network mean: contents, then lateral and inverted, then hindrances."""
    answers = logits.astype(np.float64)
    weights = np.exp(answers[: len(CONTENTS)] - answers[: len(CONTENTS)].max())
    lateral, inverted, *hindrances = (1 / (1 + np.exp(-answers[len(CONTENTS) :]))).tolist()
    return GateScores(
        contents=dict(zip(CONTENTS, (weights / weights.sum()).tolist(), strict=True)),
        lateral=lateral,
        inverted=inverted,
        hindrances=dict(zip(HINDRANCES, hindrances, strict=True)),
    )


def refusal_of(scores: GateScores, admitted: Collection[Content] = RECONSTRUCTED) -> Refusal | None:
    """Why a picture is refused for what the network sees; None where it is not.

    Args:
        scores: What the network sees.
        admitted: Contents that can be reconstructed.
    """
    pelvis = max(admitted, key=lambda content: scores.contents[content]) is Content.PELVIS
    needed = PELVIS_NEEDED if pelvis else ADMITTED_NEEDED
    if sum(scores.contents[content] for content in admitted) < needed:
        seen = _likeliest(scores, admitted)
        code = {Content.CHILD: RefusalCode.CHILD, Content.NO_RADIOGRAPH: RefusalCode.NOT_A_RADIOGRAPH}
        return Refusal(code.get(seen, RefusalCode.WRONG_BODY_PART), _SENTENCES[seen])
    for hindrance, enough in HINDRANCE_NEEDED.items():
        if scores.hindrances[hindrance] >= enough:
            return Refusal(*_HINDERED[hindrance])
    return None


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
    if _likeliest(scores, RECONSTRUCTED) is Content.CHILD:
        raise Refusal(RefusalCode.CHILD, _SENTENCES[Content.CHILD])
    raise Refusal(
        RefusalCode.NOT_A_RADIOGRAPH,
        "The picture came in colour: it is a converted copy, not what a detector delivered. Send the original.",
    )


def _likeliest(scores: GateScores, admitted: Collection[Content]) -> Content:
    """What is seen instead of what is admitted; "no radiograph" only where it outweighs everything else together."""
    if scores.contents[Content.NO_RADIOGRAPH] > 0.5:
        return Content.NO_RADIOGRAPH
    parts = [content for content in CONTENTS if content not in (*admitted, Content.NO_RADIOGRAPH)]
    return max(parts, key=lambda content: scores.contents[content])


_PARTS: Final = {
    Content.PELVIS: "a pelvis",
    Content.HIP: "a hip",
    Content.FEMUR: "a femur",
    Content.KNEE: "a knee",
    Content.LOWER_LEG: "a lower leg",
    Content.FOOT: "a foot or an ankle",
    Content.TRUNK: "the trunk",
    Content.HEAD: "the head or teeth",
    Content.ARM: "a hand or an arm",
}

_SENTENCES: Final = {
    **{
        content: f"The picture shows {part}: only {RECONSTRUCTED_PARTS} can be reconstructed."
        for content, part in _PARTS.items()
    },
    Content.CHILD: "The bones look like a child's, whose growth plates are open: the model knows adults' bones only.",
    Content.NO_RADIOGRAPH: "The picture does not look like a radiograph.",
}

_HINDERED: Final = {
    Hindrance.METAL: (
        RefusalCode.METAL,
        "Metal on the film (a joint prosthesis, a nail, a plate, screws or wires): the bone beneath is not"
        " reconstructed.",
    ),
    Hindrance.CAST: (
        RefusalCode.CAST,
        "A plaster or fibreglass cast lies around the limb: the bone beneath is not reconstructed.",
    ),
    Hindrance.FRACTURE: (
        RefusalCode.FRACTURE,
        "The bone looks broken, with its fragments displaced: the model knows intact bones only.",
    ),
}


def _negative_looks_right(enhanced: EnhancedImage, network: Gate) -> bool:
    """Whether the picture turned round is surely no negative: what cannot be told of either is left as it was sent."""
    return gate_scores(replace(enhanced, image=-enhanced.image), network).inverted < 1 - SURE


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
