"""`bonecraft rules test`: what the rules would do with files or with a study that was received, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from sqlalchemy import Connection

from pipeline.cli.administration import AsJson, Config, OneInstitution, transaction
from pipeline.dicom_header import read_instance_header
from pipeline.errors import ConfigurationError, InputError
from pipeline.records import rules as records
from pipeline.records.directory import first_called_ae_title, receiving_peers
from pipeline.records.instances import InstanceRole
from pipeline.records.viewing import InstitutionChoice, institution_choices
from pipeline.rules import Rule, kinds_in_words
from pipeline.rules_verdict import Decision, ImageFacts, Trace, Verdict, judge, trace


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What the rules say of one study.

    Attributes:
        study_instance_uid: StudyInstanceUID.
        images: How many radiographs it has.
        traces: How each rule fared.
        verdict: What comes of it; None where there is no radiograph.
    """

    study_instance_uid: str
    images: int
    traces: tuple[Trace, ...]
    verdict: Verdict | None


def try_rules(
    what: Annotated[list[str], typer.Argument(metavar="FILE... | STUDY-UID", help="DICOM files, or a received study.")],
    institution: OneInstitution = None,
    calling_ae_title: Annotated[str, typer.Option(help="Who would send the files.")] = "",
    called_ae_title: Annotated[str | None, typer.Option(help="As whom we would be called.")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Say what the rules would do and why; nothing is changed."""
    with transaction(config) as connection:
        chosen = the_institution(connection, institution)
        called = called_ae_title or first_called_ae_title(connection, chosen.id) or ""
        titles = {"calling_ae_title": calling_ae_title, "called_ae_title": called}
        studies = _studies(connection, chosen, what, titles)
        ruled, peers = records.of_institution(connection, chosen.id), receiving_peers(connection, chosen.id)
    tried = [_tried(uid, images, ruled, peers) for uid, images in studies.items()]
    if as_json:
        typer.echo(json.dumps([_plain(each) for each in tried], indent=1))
        return
    for each in tried:
        _show(each)


def the_institution(connection: Connection, slug: str | None) -> InstitutionChoice:
    """The institution of that slug, or the only one.

    Raises:
        ConfigurationError: There is none of that name, or several and none was named.
    """
    known = institution_choices(connection)
    found = [each for each in known if slug in (None, each.slug)]
    if len(found) == 1:
        return found[0]
    if slug is not None or not known:
        raise ConfigurationError(f"there is no institution {slug or ''}; `bonecraft institutions list` shows them")
    raise ConfigurationError(f"say which institution: --institution {' or '.join(each.slug for each in known)}")


def _studies(
    connection: Connection, institution: InstitutionChoice, what: Sequence[str], titles: Mapping[str, str]
) -> dict[str, list[ImageFacts]]:
    """The radiographs of each study that files belong to, or that was received under that UID."""
    studies: dict[str, list[ImageFacts]] = {}
    for each in what:
        if Path(each).is_file():
            uid, image = _image_of_file(Path(each), titles)
            studies.setdefault(uid, []).extend(image)
            continue
        received = records.images_of_study_uid(connection, institution.id, each)
        if received is None:
            raise ConfigurationError(
                f"{each!r} is neither a file nor the StudyInstanceUID of a study that was received"
            )
        studies[each] = list(received)
    return studies


def _image_of_file(path: Path, titles: Mapping[str, str]) -> tuple[str, list[ImageFacts]]:
    """The file's study, and what rules see of it; nothing where it is no radiograph."""
    try:
        header = read_instance_header(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    is_radiograph = header.role is InstanceRole.RADIOGRAPH
    return header.study.study_instance_uid, [ImageFacts.of(header.facts, **titles)] if is_radiograph else []


def _tried(uid: str, images: Sequence[ImageFacts], ruled: Sequence[Rule], peers: Sequence[str]) -> Tried:
    return Tried(
        study_instance_uid=uid,
        images=len(images),
        traces=tuple(trace(rule, images) for rule in ruled) if images else (),
        verdict=judge(ruled, images, peers=peers) if images else None,
    )


def _show(tried: Tried) -> None:
    def show(line: str, style: str = "") -> None:
        Console().print(Text(line, style=style), soft_wrap=True)

    show(f"study {tried.study_instance_uid}, radiographs: {tried.images}", "bold")
    for each in tried.traces:
        said = f"{'matches' if each.matches else 'does not match'}: {', '.join(each.reasons)}"
        show(f"  rule {each.rule} {said}", "" if each.matches else "dim")
    if tried.verdict is None:
        show("  => stored, and left alone: nothing in it is a radiograph")
        return
    process, priority = tried.verdict.process, tried.verdict.priority
    show(f"  => {'processed' if process.choice else 'left out'}: {process.because}")
    if not process.choice:
        return
    show(f"  => priority {priority.choice}: {priority.because}")
    for peer, decision in tried.verdict.sends.items():
        show(f"  => {peer} gets {kinds_in_words(decision.choice)}: {decision.because}")


def _plain(tried: Tried) -> dict[str, Any]:
    verdict = tried.verdict
    decided = (
        None
        if verdict is None
        else {
            "process": _decision(verdict.process),
            "priority": _decision(verdict.priority),
            "send": {peer: _decision(decision) for peer, decision in verdict.sends.items()},
        }
    )
    return {
        "study_instance_uid": tried.study_instance_uid,
        "radiographs": tried.images,
        "rules": [{"name": t.rule, "matches": t.matches, "reasons": t.reasons} for t in tried.traces],
        "verdict": decided,
    }


def _decision(decision: Decision[Any]) -> dict[str, Any]:
    return {"choice": decision.choice, "rule": decision.rule.name if decision.rule else None}
