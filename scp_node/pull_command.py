"""`bonecraft pull`: `python -m scp_node.pull_command --from PEER --study UID | --accession NUMBER | --patient ID`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.database import open_database
from pipeline.errors import BonecraftError, ConfigurationError, InputError
from pipeline.logs import configure_logs
from pipeline.records.directory import named_peer
from pipeline.settings import load_settings
from pipeline.store import open_store
from scp_node.pull import RADIOGRAPHS, Plan, Pulled, look, pull
from scp_node.pull_lines import Line, Lines
from scp_node.query import FoundStudy, StudyQuestion, Wanted

DONE, NOT_ALL, WRONG, TRY_AGAIN = 0, 1, 2, 75
"""Exit codes; the last is EX_TEMPFAIL of sysexits.h."""

EVERYTHING: Final = "all"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one study; `pulled` is None in a dry run."""

    study: FoundStudy
    plan: Plan
    pulled: Pulled | None

    @property
    def is_good(self) -> bool:
        """Whether there was something, and it is all here."""
        return bool(self.plan.images) and not self.too_large and (self.pulled is None or not self.pulled.lacking)

    @property
    def too_large(self) -> int:
        """How many images are not taken for their size, whenever they came."""
        return len(self.plan.too_large) + (len(self.pulled.too_large) if self.pulled else 0)

    def plain(self) -> dict[str, Any]:
        """For programs; no patient's name."""
        counted = {"images": len(self.plan.images), "here_before": len(self.plan.had), "too_large": self.too_large}
        came = None if self.pulled is None else {"fetched": len(self.pulled.fetched), "lacking": self.pulled.lacking}
        return {**_shown(self.study), **counted, **(came or {"would_fetch": len(self.plan.missing)})}

    def sentence(self) -> str:
        """For people."""
        if not self.plan.images:
            return "no image that is wanted; other modalities: --modality"
        said = f"{len(self.plan.images)} images, {len(self.plan.had)} here before"
        if self.too_large:
            said += f", {self.too_large} larger than maximum_dataset_megabytes (bonecraft quarantine)"
        if self.pulled is None:
            return f"{said}, {len(self.plan.missing)} would be fetched"
        lacking = f", {self.pulled.lacking} DID NOT COME: see its log and ours" if self.pulled.lacking else ""
        return f"{said}, {len(self.pulled.fetched)} fetched{lacking}"


def main() -> None:
    """Command line; exit 0: all is here, 1: not all, or nothing, or to be chosen, 2: wrong arguments, 75: no answer."""
    given = _parser().parse_args()
    configure_logs("pull")
    logging.getLogger().setLevel(logging.WARNING)  # the rest is told in words
    try:
        status = _run(given)
    except BonecraftError as error:
        sys.stderr.write(f"bonecraft: {error}\n")
        status = WRONG if isinstance(error, InputError | ConfigurationError) else TRY_AGAIN
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bonecraft pull", description="Fetch images from a peer.")
    parser.add_argument("--from", dest="peer", required=True, help="AE title, or INSTITUTION/TITLE")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--study", default="", help="StudyInstanceUID")
    which.add_argument("--accession", default="", help="AccessionNumber")
    which.add_argument("--patient", default="", help="PatientID")
    parser.add_argument("--series", default="", help="only this series (SeriesInstanceUID)")
    parser.add_argument("--modality", action="append", help=f"these instead of {', '.join(RADIOGRAPHS)}")
    parser.add_argument("--all", action="store_true", help="all studies found, without asking")
    parser.add_argument("--dry-run", action="store_true", help="look, and fetch nothing")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs; never asks")
    parser.add_argument("--config", type=Path, help="node.toml")
    return parser


def _run(given: argparse.Namespace) -> int:
    settings = load_settings(given.config)
    with closing(open_database(settings)) as database:
        with database.begin() as connection:
            peer = named_peer(connection, given.peer)
        lines = Lines(database=database, store=open_store(settings), settings=settings)
        lines.open()
        line = lines.to(peer)
        question = StudyQuestion(
            study_instance_uid=given.study, accession_number=given.accession, patient_id=given.patient
        )
        found = line.archive.studies(question)
        if not found:
            return _tell(given, [], f"{peer.ae_title} has no such study")
        chosen = found if given.all or len(found) == 1 else _choose(given, found, peer.ae_title)
        if not chosen:
            return _tell(given, found, "nothing was fetched: choose one with --study UID, or all with --all")
        wanted = Wanted(modalities=tuple(given.modality or RADIOGRAPHS), series_instance_uid=given.series)
        outcomes = [_one(given, line, study, wanted) for study in chosen]
    if given.json:
        sys.stdout.write(json.dumps({"studies": [each.plain() for each in outcomes]}, indent=1) + "\n")
    return DONE if all(each.is_good for each in outcomes) else NOT_ALL


def _one(given: argparse.Namespace, line: Line, study: FoundStudy, wanted: Wanted) -> Outcome:
    """Look at one study, and fetch it unless this is a dry run."""
    plan = look(line.archive, line.intake, study.study_instance_uid, wanted)
    pulled = None
    if not given.dry_run:
        pulled = pull(line.archive, line.intake, plan, lambda done: _show_progress(given, done, len(plan.missing)))
    outcome = Outcome(study=study, plan=plan, pulled=pulled)
    if not given.json:
        sys.stdout.write(f"{study.study_instance_uid}: {outcome.sentence()}\n")
    return outcome


def _show_progress(given: argparse.Namespace, done: int, total: int) -> None:
    if not given.json and sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {total}" + ("\n" if done >= total else ""))
        sys.stderr.flush()


def _choose(given: argparse.Namespace, found: Sequence[FoundStudy], peer: str) -> Sequence[FoundStudy]:
    """Ask which; nobody is asked who is a program, or only wants to look."""
    if given.json or given.dry_run:
        return found if given.dry_run else ()
    sys.stdout.write(f"{peer} has {len(found)} studies:\n")
    for number, study in enumerate(found, 1):
        shown = _shown(study)
        facts = (shown["study_date"], "/".join(shown["modalities"]), shown["description"], shown["study_instance_uid"])
        sys.stdout.write(f"  {number}  {'  '.join(filter(None, facts))}\n")
    if not sys.stdin.isatty():
        return ()
    sys.stdout.write(f"Which? Numbers with commas, or {EVERYTHING}; nothing: none. ")
    sys.stdout.flush()
    return chosen(sys.stdin.readline(), found)


def chosen(answer: str, found: Sequence[FoundStudy]) -> Sequence[FoundStudy]:
    """The studies that an answer names: `1,3` or `all`; empty: none.

    Raises:
        InputError: It names none of them.
    """
    words = [word.strip() for word in answer.split(",") if word.strip()]
    if words == [EVERYTHING]:
        return found
    numbers = [int(word) for word in words if word.isdigit()]
    if len(numbers) < len(words) or not all(1 <= number <= len(found) for number in numbers):
        raise InputError(f"{answer.strip()!r} is no choice: give numbers from 1 to {len(found)}, or {EVERYTHING}")
    return [found[number - 1] for number in numbers]


def _tell(given: argparse.Namespace, found: Sequence[FoundStudy], sentence: str) -> int:
    """Nothing was done, and why."""
    if given.json:
        studies = [_shown(study) for study in found]
        sys.stdout.write(json.dumps({"studies": studies, "problem": sentence}, indent=1) + "\n")
    else:
        sys.stderr.write(f"bonecraft: {sentence}\n")
    return NOT_ALL


def _shown(study: FoundStudy) -> dict[str, Any]:
    """What is shown of a study: whoever asks knows the patient, so nobody else's screen need."""
    return {name: value for name, value in asdict(study).items() if not name.startswith("patient_")}


if __name__ == "__main__":
    main()
