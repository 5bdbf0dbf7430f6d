"""What the check can find, and how it asks for attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import TypeAlias

from pydicom.dataset import Dataset


class Check(StrEnum):
    """What was checked."""

    REQUIRED = "required attribute"
    VALUE = "enumerated value"
    UID = "UID"
    CODE = "code and meaning"
    PATIENT = "patient and study"
    REFERENCE = "reference"
    COUNT = "count"
    INDEX = "point index"
    FINITE = "finite values"
    NORMALS = "normals"
    MANIFOLD = "closed manifold"
    ORIENTATION = "orientation"
    SURFACE_NUMBER = "surface number"
    OPACITY = "opacity"
    RETIRED = "retired attribute"
    SIZE = "plausible size"
    PIXELS = "pixel data"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fault.

    Attributes:
        check: What was checked.
        sentence: What is wrong and where, without patient data.
    """

    check: Check
    sentence: str


def missing(dataset: Dataset, keywords: Iterable[str], *, where: str, may_be_empty: bool = False) -> Iterator[Finding]:
    """A finding for each attribute that is absent, or empty although it may not be (types 1 and 2, PS3.5 7.4)."""
    for keyword in keywords:
        if keyword not in dataset:
            yield Finding(check=Check.REQUIRED, sentence=f"{where}: {keyword} is missing.")
        elif not may_be_empty and dataset[keyword].is_empty:
            yield Finding(check=Check.REQUIRED, sentence=f"{where}: {keyword} is empty.")


def one_of(dataset: Dataset, keyword: str, allowed: Iterable[object], *, where: str) -> Iterator[Finding]:
    """A finding where an attribute has another value than the enumerated ones."""
    if dataset.get(keyword) not in tuple(allowed):
        yield Finding(check=Check.VALUE, sentence=f"{where}: {keyword} is none of {', '.join(map(str, allowed))}.")


Judge: TypeAlias = Callable[[Dataset], Iterator[Finding]]


def complete(keywords: Iterable[str], *, where: str) -> Callable[[Judge], Judge]:
    """A check that looks further only where these attributes are there, and else finds which are not."""

    def checked(judge: Judge) -> Judge:
        @wraps(judge)
        def check(dataset: Dataset) -> Iterator[Finding]:
            absent = tuple(missing(dataset, keywords, where=where))
            yield from absent or judge(dataset)

        return check

    return checked
