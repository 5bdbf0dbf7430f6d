"""The tables of a run as text, and into the sections of docs/accuracy.md that are theirs; its prose stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2

from models.training.evaluation.plots import accuracy_plot, robustness_plot
from models.training.evaluation.results import StudyResult
from models.training.evaluation.robustness import robustness_table, scale_sentence
from models.training.evaluation.tables import (
    accuracy_table,
    cost_table,
    interval_table,
    measurement_table,
    refusal_table,
)

DOCS: Final = Path(__file__).parents[3] / "docs"
PAGE: Final = DOCS / "accuracy.md"
IMAGES: Final = DOCS / "images"


def sections(results: Sequence[StudyResult], *, true_outlines: bool) -> dict[str, str]:
    """What belongs into the sections of the page, by their names; a section without figures is left out.

    Args:
        results: Of a plan.
        true_outlines: Whether the shadows were given: a table of its own.
    """
    if true_outlines:
        return {"true-outlines": accuracy_table(results)}
    found = {
        "end-to-end": accuracy_table(results),
        "intervals": interval_table(results),
        "measurements": _measurements(results),
        "robustness": _robustness(results),
        "refusals": _refusals(results),
        "costs": _costs(results),
    }
    return {name: text for name, text in found.items() if text}


def _measurements(results: Sequence[StudyResult]) -> str:
    return "\n\n".join(
        [
            "## Measurements",
            "Against the same measurement on the true surfaces, which the shape models' vertices were registered onto.",
            measurement_table(results),
        ]
    )


def _robustness(results: Sequence[StudyResult]) -> str:
    table = robustness_table(results)
    if not table:
        return ""
    return "\n\n".join(
        part
        for part in (
            "## What goes wrong, and what it costs",
            "Each study once as it was, once with one thing wrong; everything else in it is the same.",
            table,
            scale_sentence(results),
            "![Growth of the average surface distance with every disturbance](images/accuracy-robustness.png)",
        )
        if part
    )


def _refusals(results: Sequence[StudyResult]) -> str:
    return "\n\n".join(
        [
            "## Refused, though nothing is wrong",
            "The gate that ships was trained without fold 1: only there has it not seen the people. What it turns away "
            "rightly is judged by `models.training.evaluate_gate`, in [its card](../models/cards/gate.md).",
            refusal_table(results),
            _failures(results),
        ]
    ).rstrip()


def _failures(results: Sequence[StudyResult]) -> str:
    """Studies that broke, which is a fault of ours and no refusal."""
    broken = [f"{result.key} ({result.error})" for result in results if result.error]
    return f"Studies that broke: {len(broken)}. {'; '.join(broken)}".strip() if broken else ""


def _costs(results: Sequence[StudyResult]) -> str:
    return "\n\n".join(
        [
            "## Time and memory",
            "One thread, from reading the files to the last measurement; memory is of the whole process, with the "
            "evaluation in it. Meshes and DICOM results come on top: [benchmarks](benchmarks.md).",
            cost_table(results),
        ]
    )


def report(results: Sequence[StudyResult], *, true_outlines: bool) -> str:
    """All sections, to be read on a terminal."""
    return "\n\n".join(sections(results, true_outlines=true_outlines).values())


def write_page(results: Sequence[StudyResult], *, true_outlines: bool) -> None:
    """Renew the sections and plots of docs/accuracy.md."""
    page = PAGE.read_text(encoding="utf-8")
    for name, text in sections(results, true_outlines=true_outlines).items():
        page = with_section(page, name, text)
    PAGE.write_text(page, encoding="utf-8")
    if not true_outlines:
        cv2.imwrite(str(IMAGES / "accuracy.png"), accuracy_plot(results))
        if any(not result.undisturbed for result in results):
            cv2.imwrite(str(IMAGES / "accuracy-robustness.png"), robustness_plot(results))


def with_section(page: str, name: str, text: str) -> str:
    """The page with other text between the markers of a section.

    Raises:
        ValueError: The page has no such section.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"no section <!-- {name} --> in the page")
    return pattern.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)
