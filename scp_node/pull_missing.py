"""What the node asks peers for by itself: views that a study lacks, and an earlier study to compare it with.

Nothing waits for this. A view that comes while its study still waits is in the first reconstruction; one that comes
later makes another. An earlier study stays a study of its own: films of different days are never put together.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection

from pipeline.errors import BonecraftError, ConfigurationError, InputError, TransientError
from pipeline.records import fetches
from pipeline.records.directory import get_peer
from pipeline.records.fetches import Candidate, DueFetch
from pipeline.records.instances import Instance, radiographs_of
from pipeline.regions import REGION_OF
from pipeline.settling import ReceivedView, missing_views
from scp_node.backoff import wait
from scp_node.peer import ConnectionProblem
from scp_node.pull import RADIOGRAPHS, Plan, look, pull
from scp_node.pull_lines import Line, Lines
from scp_node.query import FoundStudy, StudyQuestion, Wanted

LEASE: Final = timedelta(minutes=10)
LONGEST_WAIT: Final = timedelta(minutes=5)
PATIENCE: Final = timedelta(days=1)
"""What could not be asked for so long is given up: by then somebody has read the study."""
ASK_AGAIN: Final = (timedelta(minutes=2), timedelta(minutes=15))
"""When a peer that has nothing yet is asked again: the missing view may be on its way there."""
PRIOR_DAYS: Final = 5 * 365
"""An earlier study is at most so old."""
PRIORS_LOOKED_AT: Final = 5
"""So many earlier studies, the newest first, are searched for the body part."""
WANTED: Final = Wanted(modalities=RADIOGRAPHS)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """Asks for what studies lack.

    Attributes:
        lines: To the peers.
    """

    lines: Lines

    def plan(self) -> int:
        """Look which studies lack something; gives for how many a peer will be asked."""
        now = self.lines.clock()
        with self.lines.database.begin() as connection:
            return sum(_plan_one(connection, each, now=now) for each in fetches.candidates(connection, now=now))

    def peers_due(self) -> tuple[UUID, ...]:
        """The peers that are to be asked for something now."""
        with self.lines.database.begin() as connection:
            return fetches.peers_due(connection, now=self.lines.clock())

    def fetch_from(self, peer_id: UUID) -> int:
        """Ask a peer for one thing; gives how many that was."""
        with self.lines.database.begin() as connection:
            due = fetches.claim_due(connection, peer_id, now=self.lines.clock(), lease=LEASE)
            peer = get_peer(connection, peer_id)
        if due is None or peer is None:
            return 0
        try:
            line = self.lines.to(peer)
            came, study_uid = self._prior(line, due) if due.purpose == fetches.PRIOR else self._missing(line, due)
        except (TransientError, ConfigurationError, InputError) as problem:
            self._note_failure(peer_id, due, problem)
            return 1
        self._note(due, came=came, study_uid=study_uid)
        return 1

    def _missing(self, line: Line, due: DueFetch) -> tuple[int, str]:
        """Every radiograph of the study that we have not; gives how many came."""
        plan = look(line.archive, line.intake, due.study_instance_uid, WANTED)
        return len(pull(line.archive, line.intake, plan, _ignore).fetched), ""

    def _prior(self, line: Line, due: DueFetch) -> tuple[int, str]:
        """The newest earlier study of the patient that shows the same; gives how many images came, and its UID."""
        for study in self._earlier_studies(line, due):
            plan = self._same_parts(look(line.archive, line.intake, study.study_instance_uid, WANTED), due)
            if plan.had and study.study_instance_uid != due.fetched_study_uid:
                break  # it is here, as whatever it came
            if plan.images:
                with self.lines.database.begin() as connection:
                    fetches.name_prior(connection, due.id, study.study_instance_uid)
                return len(pull(line.archive, line.intake, plan, _ignore).fetched), study.study_instance_uid
        return 0, ""

    def _earlier_studies(self, line: Line, due: DueFetch) -> list[FoundStudy]:
        """The newest first; a patient is the same where ID and name are."""
        taken_on = _date(due.study_date)
        if not due.patient_id or taken_on is None:
            return []
        first, last = taken_on - timedelta(days=PRIOR_DAYS), taken_on - timedelta(days=1)
        question = StudyQuestion(patient_id=due.patient_id, study_date=f"{first:%Y%m%d}-{last:%Y%m%d}")
        found = [
            study
            for study in line.archive.studies(question)
            if same_name(study.patient_name, due.patient_name)
            and f"{first:%Y%m%d}" <= study.study_date <= f"{last:%Y%m%d}"
        ]
        return sorted(found, key=lambda study: study.study_date, reverse=True)[:PRIORS_LOOKED_AT]

    def _same_parts(self, plan: Plan, due: DueFetch) -> Plan:
        """Of what an archive has, the images of the body parts that the study shows."""
        with self.lines.database.begin() as connection:
            shown = {_part(_text(each, "body_part")) for each in radiographs_of(connection, due.study_id)} - {""}
        return replace(plan, images=tuple(image for image in plan.images if _part(image.body_part) in shown))

    def _note(self, due: DueFetch, *, came: int, study_uid: str) -> None:
        now = self.lines.clock()
        with self.lines.database.begin() as connection:
            if came:
                fetches.mark_fetched(connection, due.id, images=came, study_uid=study_uid, now=now)
            else:
                asked_again = due.purpose == fetches.MISSING_VIEWS and due.attempts <= len(ASK_AGAIN)
                again = now + ASK_AGAIN[due.attempts - 1] if asked_again else None
                fetches.mark_nothing(connection, due.id, again=again, now=now)
        log.info("asked_for", what=due.purpose, study=str(due.study_id), images=came)

    def _note_failure(self, peer_id: UUID, due: DueFetch, problem: BonecraftError) -> None:
        """Ask again, unless that cannot help; who could not be reached is left alone for as long with everything."""
        now, chance = self.lines.clock(), random.random()  # noqa: S311 - spreads attempts, protects nothing
        is_over = isinstance(problem, InputError) or now - due.planned_at > PATIENCE
        again = now + wait(due.attempts, longest=LONGEST_WAIT, chance=chance)
        with self.lines.database.begin() as connection:
            if is_over:
                fetches.give_up(connection, due.id, problem=str(problem), now=now)
            else:
                fetches.mark_failed(connection, due.id, problem=str(problem), again=again)
            if isinstance(problem, ConnectionProblem):
                fetches.postpone(connection, peer_id, until=again)
        log.warning("not_asked_for", what=due.purpose, study=str(due.study_id), problem=str(problem))


def _plan_one(connection: Connection, candidate: Candidate, *, now: datetime) -> bool:
    """Have the peer asked for what the study lacks; whether it will be."""
    radiographs = radiographs_of(connection, candidate.study_id)
    is_needed = bool(missing_views([_view(each) for each in radiographs]))
    fetches.plan_missing(connection, candidate, is_needed=is_needed, now=now)
    if candidate.wants_prior:
        fetches.plan_prior(connection, candidate, now=now)
    return is_needed or candidate.wants_prior


def same_name(one: str, other: str) -> bool:
    """Whether two PatientNames are one: archives write case, empty components and padding as they like."""
    return _plain_name(one) == _plain_name(other)


def _plain_name(name: str) -> str:
    return " ".join(name.partition("=")[0].replace("^", " ").casefold().split())


def _part(body_part: str) -> str:
    """What an image shows, as one word for what one radiograph may call so or so; empty where nobody says."""
    return str(REGION_OF.get(body_part, body_part))


def _view(radiograph: Instance) -> ReceivedView:
    names = ("view", "side", "body_part")
    return ReceivedView(**{name: _text(radiograph, name) for name in names})


def _text(radiograph: Instance, fact: str) -> str:
    return str(radiograph.facts.get(fact) or "")


def _date(text: str) -> date | None:
    """A DICOM date (PS3.5 6.2, VR DA)."""
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return None


def _ignore(_done: int) -> None:
    """Nobody watches the progress."""
