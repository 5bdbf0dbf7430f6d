"""How long an institution waits for further views, in general and for single body parts."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.regions import REGION_OF
from pipeline.settling import Wait

_CODE_STRING: Final = re.compile(r"[A-Z0-9_ ]{1,16}")


def _body_part(text: str) -> str:
    """BodyPartExamined, PS3.5 6.2 (VR CS): capitals, digits, spaces and underscores, at most 16."""
    part = text.strip().upper()
    if not _CODE_STRING.fullmatch(part):
        raise ValueError(f"{text!r} is not what BodyPartExamined holds: 1 to 16 letters, digits, spaces, underscores")
    return part


BodyPart = Annotated[str, AfterValidator(_body_part)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]


class PartWait(BaseModel):
    """What an administrator sets for one body part; None: as for the others.

    Attributes:
        body_part: A term of BodyPartExamined (0018,0015), as the sender writes it.
        quiet_seconds: So long nothing more must have come.
        maximum_wait_seconds: So long a study waits in all.
        by_content: Whether a study is ready without waiting when every view is here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_part: BodyPart
    quiet_seconds: Seconds | None = None
    maximum_wait_seconds: Seconds | None = None
    by_content: bool = True


@dataclass(frozen=True, kw_only=True)
class Waits:
    """An institution's."""

    quiet_seconds: int
    maximum_wait_seconds: int
    parts: tuple[PartWait, ...] = ()


def wait_for(waits: Waits, body_parts: Collection[str]) -> Wait:
    """How a study of these body parts is waited for: as patiently as the one of them that asks for most."""
    each = [_for_part(waits, body_part) for body_part in body_parts] or [_for_part(waits, "")]
    return Wait(
        quiet=max(wait.quiet for wait in each),
        maximum=max(wait.maximum for wait in each),
        by_content=all(wait.by_content for wait in each),
    )


def _for_part(waits: Waits, body_part: str) -> Wait:
    own = _setting_for(waits.parts, body_part)
    quiet, maximum = waits.quiet_seconds, waits.maximum_wait_seconds
    if own is not None:
        quiet = quiet if own.quiet_seconds is None else own.quiet_seconds
        maximum = maximum if own.maximum_wait_seconds is None else own.maximum_wait_seconds
    by_content = own is None or own.by_content
    return Wait(quiet=timedelta(seconds=quiet), maximum=timedelta(seconds=maximum), by_content=by_content)


def _setting_for(parts: Sequence[PartWait], sent: str) -> PartWait | None:
    """What is set for the very term that was sent; else what is set for another term of the same region."""
    same_term = (part for part in parts if part.body_part == sent)
    region = REGION_OF.get(sent)
    same_region = (part for part in parts if region is not None and REGION_OF.get(part.body_part) is region)
    return next(chain(same_term, same_region), None)
