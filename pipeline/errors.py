"""What can go wrong, by whose fault it is and whether trying again can help.

Three families, each with its own consequence:

* `InputError`: the sender's files are unreadable or wrong. Fix them; a retry of the same bytes cannot help (exit 2).
* `Refusal`: the input is sound, but the model does not apply to it. Not a failure: the honest result (exit 3).
* `TransientError`: something around us failed (disk, network, database). The same work may succeed later.

Messages name the cause and the fix, and never contain patient data: they travel to logs and error pages.
"""

from __future__ import annotations

from enum import StrEnum


class BonecraftError(Exception):
    """Base of every error that Bonecraft raises on purpose."""


class InputError(BonecraftError):
    """The given files cannot be read as radiographs of one study, or contradict each other."""


class ConfigurationError(BonecraftError):
    """A setting is missing or wrong; the message says which, and what to write instead."""


class TransientError(BonecraftError):
    """Something around us failed; the same work may succeed later."""


class RefusalCode(StrEnum):
    """Why a study was not reconstructed. Stable: stored, delivered and shown."""

    NOT_A_RADIOGRAPH = "not-a-radiograph"
    WRONG_BODY_PART = "wrong-body-part"
    CHILD = "child"
    METAL = "metal-implant"
    CAST = "cast"
    FRACTURE = "displaced-fracture"
    UNSUPPORTED_VIEW = "unsupported-view"
    POOR_IMAGE = "poor-image"
    POOR_FIT = "poor-fit"
    UNLIKELY_SHAPE = "unlikely-shape"
    VIEWS_CONTRADICT = "views-contradict"
    NO_SCALE = "no-scale"


class Refusal(BonecraftError):  # noqa: N818 - a refusal is a result, not an error
    """The study is sound but the model does not apply to it.

    Attributes:
        code: Why, for programs.
        sentence: Why, for a radiologist: one sentence that stands on its own.
    """

    def __init__(self, code: RefusalCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
