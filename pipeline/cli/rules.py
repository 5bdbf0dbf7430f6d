"""`bonecraft rules`: what an institution does with which studies. Every change is tried on past studies first."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.text import Text
from sqlalchemy import Connection

from pipeline import jobs
from pipeline.cli.administration import (
    SOURCE,
    AsJson,
    Config,
    DryRun,
    OneInstitution,
    local_time,
    show_difference,
    show_way_back,
    transaction,
    who,
)
from pipeline.cli.rules_options import Name, Process, Send, Sentence, Urgency, When, Without, entry_of, said_by
from pipeline.cli.rules_trial import the_institution, try_rules
from pipeline.errors import ConfigurationError
from pipeline.records import admin, deliveries
from pipeline.records import rules as records
from pipeline.records.directory import named_peer
from pipeline.records.viewing import InstitutionChoice
from pipeline.rules import Rule
from pipeline.rules_edit import Edit, added, changed, moved, removed, rule_of
from pipeline.rules_preview import Preview
from pipeline.site_file import load_site
from pipeline.site_values import RulesValue, Subject, Value

rules = typer.Typer(add_completion=False, no_args_is_help=True, help="What is done with which studies.")

Days = Annotated[int, typer.Option(min=1, help="Try it on the studies of so many days.")]
Yes = Annotated[bool, typer.Option("--yes", help="Change it without asking.")]


@rules.command("list")
def list_rules(institution: OneInstitution = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the rules in their order."""
    with transaction(config) as connection:
        current = admin.current_values(connection, institution=institution)
    found = {subject.institution: value for subject, value in current.items() if isinstance(value, RulesValue)}
    if as_json:
        plain = {slug: value.model_dump(mode="json", exclude_defaults=True)["rules"] for slug, value in found.items()}
        typer.echo(json.dumps(plain, indent=1))
        return
    if not found:
        typer.echo("no rules: every study is processed, and its results go to every peer that receives")
    for slug, value in found.items():
        Console().print(Text(f"rules {slug}", style="bold"))
        for position, rule in enumerate(value.rules, start=1):
            Console().print(Text(f"  {position}  {rule.name}: {rule}"), soft_wrap=True)


@rules.command("add")
def add_rule(
    name: Name,
    institution: OneInstitution = None,
    sentence: Sentence = None,
    when: When = None,
    process: Process = None,
    priority: Urgency = None,
    send: Send = None,
    position: Annotated[int | None, typer.Option(min=1, help="Its place, from 1; without: the last.")] = None,
    days: Days = 7,
    yes: Yes = False,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Add a rule."""
    said = said_by(sentence=sentence, process=process, priority=priority, send=send, when=when)
    edit = added(rule_of({"name": name, **said}), position=position)
    _carry_out(config, institution, edit, days=days, yes=yes, dry_run=dry_run)


@rules.command("set")
def set_rule(
    name: Name,
    institution: OneInstitution = None,
    sentence: Sentence = None,
    when: When = None,
    process: Process = None,
    priority: Urgency = None,
    send: Send = None,
    without: Without = None,
    days: Days = 7,
    yes: Yes = False,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Change a rule: each entry that is named is replaced as a whole, the others stay."""
    said = said_by(sentence=sentence, process=process, priority=priority, send=send, when=when)
    dropped = {entry_of(each) for each in without or ()}

    def change(rule: Rule) -> Rule:
        kept = {entry: value for entry, value in rule.model_dump().items() if entry not in dropped}
        return rule_of(kept | said)

    _carry_out(config, institution, changed(name, change), days=days, yes=yes, dry_run=dry_run)


@rules.command("move")
def move_rule(
    name: Name,
    position: Annotated[int, typer.Option(min=1, help="Its new place; the first is 1.")],
    institution: OneInstitution = None,
    days: Days = 7,
    yes: Yes = False,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Move a rule: of rules that say the same thing of a study the first decides."""
    _carry_out(config, institution, moved(name, position), days=days, yes=yes, dry_run=dry_run)


@rules.command("remove")
def remove_rule(
    name: Name,
    institution: OneInstitution = None,
    days: Days = 7,
    yes: Yes = False,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Remove a rule."""
    _carry_out(config, institution, removed(name), days=days, yes=yes, dry_run=dry_run)


@rules.command("preview")
def preview_site_file(
    file: Annotated[Path, typer.Argument(help="A site file with rules, site.toml.")],
    institution: OneInstitution = None,
    days: Days = 7,
    config: Config = None,
) -> None:
    """Show what the rules of a site file would change; add, set, move and remove do so with --dry-run."""
    wanted = load_site(file).wanted
    with transaction(config) as connection:
        chosen = the_institution(connection, institution)
        subject = Subject.of_rules(chosen.slug)
        before, after = _edited(connection, subject, lambda _: _as_rules(wanted.get(subject)))
        tried = _tried(connection, chosen, after, days=days)
    _show(subject, before, after, tried)


@rules.command("left-out")
def list_left_out(
    institution: OneInstitution = None,
    last: Annotated[int, typer.Option(min=1, help="So many studies at the most.")] = 20,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the studies that rules left out, the newest first."""
    with transaction(config) as connection:
        chosen = the_institution(connection, institution)
        found = records.left_out(connection, chosen.id, limit=last)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=1, default=str))
        return
    if not found:
        typer.echo("no rule left a study out")
        return
    for each in found:
        said = f"{each.study_instance_uid}  {local_time(each.last_received_at)}  {each.sentence}"
        Console(highlight=False).print(said, soft_wrap=True, markup=False)
    Console().print(Text("all the same: bonecraft rules process STUDY", style="dim"), soft_wrap=True)


@rules.command("process")
def process_studies(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...", help="StudyInstanceUID, or ID as status shows.")],
    config: Config = None,
) -> None:
    """Reconstruct studies that a rule left out."""
    with transaction(config) as connection:
        for study in studies:
            done = [jobs.process_anyway(connection, each, who=who()) for each in _study_ids(connection, study)]
            if not any(done):
                raise ConfigurationError(f"no rule leaves a study {study} out: see bonecraft status")
            typer.echo(f"{study} is queued")


@rules.command("send")
def send_results(
    study: Annotated[str, typer.Argument(help="StudyInstanceUID.")],
    to: Annotated[str, typer.Option(metavar="AE", help="Who gets them: AE title, or INSTITUTION/TITLE.")],
    config: Config = None,
) -> None:
    """Send a peer the results of a study that a rule kept from it."""
    with transaction(config) as connection:
        sent = deliveries.send_left_out(connection, study, named_peer(connection, to).id, now=datetime.now(UTC))
    if not sent:
        raise ConfigurationError(
            f"no rule kept a result of study {study} from {to}, or one is being made anew: see bonecraft status"
        )
    typer.echo(f"{sent} results will be sent to {to}")


rules.command("test")(try_rules)


def _carry_out(
    config: Path | None, institution: str | None, edit: Edit, *, days: int, yes: bool, dry_run: bool
) -> None:
    """Show the change and what it would have done; make it when somebody has agreed, if it is still the same then."""
    with transaction(config) as connection:
        chosen = the_institution(connection, institution)
        subject = Subject.of_rules(chosen.slug)
        before, after = _edited(connection, subject, edit)
        tried = _tried(connection, chosen, after, days=days)
    _show(subject, before, after, tried)
    if dry_run or before == after:
        return
    if not yes:
        typer.confirm("Change it?", abort=True)
    with transaction(config) as connection:
        admin.lock_changes(connection)
        if _edited(connection, subject, edit) != (before, after):
            raise ConfigurationError(f"{subject} was changed by somebody else meanwhile: look again")
        change = admin.change(connection, subject, after, who=who(), source=SOURCE)
    if change is not None:
        show_way_back(change)


def _edited(connection: Connection, subject: Subject, edit: Edit) -> tuple[RulesValue | None, RulesValue | None]:
    """What is set, and what would be."""
    before = _as_rules(admin.current_value(connection, subject))
    return before, edit(before)


def _as_rules(value: Value | None) -> RulesValue | None:
    return value if isinstance(value, RulesValue) else None


def _tried(connection: Connection, institution: InstitutionChoice, after: RulesValue | None, *, days: int) -> Preview:
    rules_after = after.rules if after else ()
    return records.preview_of(connection, institution.id, rules_after, days=days, now=datetime.now(UTC))


def _show(subject: Subject, before: RulesValue | None, after: RulesValue | None, tried: Preview) -> None:
    """The difference, and what it would have done."""
    if before == after:
        typer.echo(f"no change to {subject}")
        return
    show_difference(f"would change {subject}", before, after)
    for line in tried.lines():
        Console().print(Text(line), soft_wrap=True)


def _study_ids(connection: Connection, text: str) -> tuple[UUID, ...]:
    try:
        return (UUID(text),)
    except ValueError:
        return records.study_ids(connection, text)
