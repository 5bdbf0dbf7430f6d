"""Watching Orthanc servers: what their change feed calls stable, and holds radiographs, is taken in.

A study counts as read when its images are in the inbox, and only then the position moves on: whoever dies between
reads it again, and finds what had come already. Orthanc says nothing of studies that were still coming when it was
stopped; those that were announced and not called stable are looked after separately. So are studies of which the server
does not give everything: they hold up nothing that came after them.
"""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from pipeline.addresses import DEFAULT_AE_TITLE
from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import ConfigurationError, InputError, TransientError
from pipeline.peer_secrets import PeerSecrets
from pipeline.records import fetches, quarantine, sources
from pipeline.records.directory import first_called_ae_title
from pipeline.records.sources import Source
from pipeline.settings import NodeSettings
from pipeline.store import Store
from scp_node.backoff import wait
from scp_node.pull import RADIOGRAPHS, Intake
from scp_node.watch_feed import (
    NEW_SERIES,
    NEW_STUDY,
    STABLE_STUDY,
    Change,
    Feed,
    FeedTarget,
    Gone,
    HeldImage,
    NotGiven,
    Page,
)

LOOK_EVERY: Final = timedelta(seconds=5)
LEASE: Final = timedelta(minutes=1)
"""So long after a watcher died another one takes its source up; renewed with every change that was read."""
LONGEST_WAIT: Final = timedelta(minutes=5)
OVERDUE: Final = timedelta(minutes=10)
"""A study that was announced so long ago and not called stable is looked at without being called.

One that was not given whole is asked for again after as long.
"""
SERVICE: Final = "Orthanc's REST API"

log = structlog.get_logger(__name__)


def feed_target(source: Source, secrets: PeerSecrets) -> FeedTarget:
    """How a source is asked.

    Raises:
        ConfigurationError: A file that its settings name cannot be read.
    """
    password = secrets.read(source.institution, source.password_file) if source.password_file else ""
    ca_file = str(secrets.path(source.institution, source.ca_file)) if source.ca_file else ""
    return FeedTarget(name=source.name, url=source.url, user_name=source.user_name, password=password, ca_file=ca_file)


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Reads the change feeds that are due.

    Attributes:
        database: The node's records.
        store: Where images go.
        settings: The node's.
        folder: Where files lie while they come in.
        clock: What time it is.
    """

    database: Database
    store: Store
    settings: NodeSettings
    folder: Path
    clock: Clock = utc_now

    def sources_due(self) -> tuple[UUID, ...]:
        """The sources to be looked at now."""
        with self.database.begin() as connection:
            return sources.due(connection, now=self.clock())

    def watch(self, source_id: UUID) -> int:
        """Read a source's feed to its end; gives how many images were taken."""
        with self.database.begin() as connection:
            source = sources.claim(connection, source_id, now=self.clock(), lease=LEASE)
            title = None if source is None else first_called_ae_title(connection, source.institution_id)
        if source is None:
            return 0
        try:
            with closing(Feed(feed_target(source, PeerSecrets.of(self.settings)))) as feed:
                taken = _Reading(watcher=self, source=source, feed=feed, intake=self._intake(source, title)).read()
        except (TransientError, ConfigurationError) as problem:
            self._note_failure(source, str(problem))
            return 0
        now = self.clock()
        with self.database.begin() as connection:
            if sources.note_looked(connection, source.id, now=now, again=now + LOOK_EVERY):
                log.info("source_back", source=source.name)
        return taken

    def _intake(self, source: Source, title: str | None) -> Intake:
        return Intake(
            database=self.database,
            store=self.store,
            folder=self.folder,
            minimum_free_megabytes=self.settings.minimum_free_megabytes,
            maximum_dataset_megabytes=self.settings.maximum_dataset_megabytes,
            institution_id=source.institution_id,
            from_title=source.name,
            to_title=title or DEFAULT_AE_TITLE,
            address=urlsplit(source.url).hostname or "",
            clock=self.clock,
        )

    def _note_failure(self, source: Source, problem: str) -> None:
        chance = random.random()  # noqa: S311 - spreads attempts, protects nothing
        with self.database.begin() as connection:
            again = sources.note_failed(
                connection,
                source.id,
                problem=problem,
                now=self.clock(),
                wait=lambda failures: wait(failures, longest=LONGEST_WAIT, chance=chance),
            )
        log.warning("source_not_read", source=source.name, problem=problem, again=again and again.isoformat())


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """One look at a source."""

    watcher: Watcher
    source: Source
    feed: Feed
    intake: Intake

    def read(self) -> int:
        """Take everything that is new; gives how many images that was.

        Raises:
            TransientError: Server, store or records failed; what was read stays read.
        """
        page, taken = self._first_page(), 0
        while True:
            for change in page.changes:
                taken += self._follow(change)
            if page.is_last or not page.changes:
                return taken + self._look_after_announced()
            page = self.feed.changes(since=page.changes[-1].number)

    def _first_page(self) -> Page:
        """What comes after the change that was read last; all where the server's log is another one since."""
        last = self.source.last_change
        if last is None:
            return self._begin()
        page = self.feed.changes(since=max(last - 1, 0))
        first = page.changes[0] if page.changes else None
        if first is not None and first.number > last:
            return page  # the log was emptied: what follows is new
        if first is not None and first.number == last and first.mark == self.source.last_mark:
            return Page(changes=page.changes[1:], last=page.last, is_last=page.is_last)
        if first is None and page.last >= last:
            return page
        log.warning("source_began_anew", source=self.source.name, last_change=last)
        return self.feed.changes(since=0)

    def _begin(self) -> Page:
        """The first look ever: at everything, or at nothing before now."""
        if self.source.history:
            return self.feed.changes(since=0)
        newest = self.feed.newest()
        for change in newest.changes:
            self._move_on(change, taken=0)
        if not newest.changes:
            self._move_on(Change(number=newest.last, kind="", orthanc_id="", date=""), taken=0)
        return Page(changes=(), last=newest.last, is_last=True)

    def _follow(self, change: Change) -> int:
        """Do what a change asks for, then move on; gives how many images came."""
        taken = 0
        try:
            if change.kind == STABLE_STUDY:
                taken = self._take_or_put_off(change.orthanc_id)
            elif change.kind == NEW_STUDY:
                self._announce(change.orthanc_id)
            elif change.kind == NEW_SERIES:
                self._announce(self.feed.study_of_series(change.orthanc_id))
        except Gone:
            self._forget(change.orthanc_id)
        except NotGiven as problem:  # whose series that is; its study will be called stable, or was announced
            log.warning("source_series_not_told", source=self.source.name, reason=str(problem))
        self._move_on(change, taken=taken)
        return taken

    def _look_after_announced(self) -> int:
        """Studies of which the server forgot to say that they are stable."""
        with self.watcher.database.begin() as connection:
            before = self.watcher.clock() - OVERDUE
            waiting = sources.announced(connection, self.source.id, before=before)
        return sum(self._take_if_stable(study_id) for study_id in waiting)

    def _take_if_stable(self, study_id: str) -> int:
        try:
            return self._take_or_put_off(study_id, if_stable=True)
        except Gone:
            self._forget(study_id)
            return 0

    def _take_or_put_off(self, study_id: str, *, if_stable: bool = False) -> int:
        """Take a study; what the server does not give of it is asked for again after `OVERDUE`."""
        try:
            if if_stable and not self.feed.is_stable(study_id):
                return 0
            taken, not_given = self._take(study_id)
        except NotGiven as problem:
            taken, not_given = 0, problem
        if not_given is None:
            self._forget(study_id)
        else:
            self._announce(study_id)
            log.warning("source_study_not_given", source=self.source.name, reason=str(not_given))
        return taken

    def _take(self, study_id: str) -> tuple[int, NotGiven | None]:
        """Take the radiographs of a study that we have not; gives how many came, and why another one did not.

        Raises:
            NotGiven: The server does not say what it has of the study.
        """
        images = self.feed.images(study_id, modalities=RADIOGRAPHS)
        with self.watcher.database.begin() as connection:
            uids = [image.sop_instance_uid for image in images]
            owner = self.source.institution_id
            settled = fetches.held(connection, owner, uids)
            settled |= quarantine.too_large(connection, owner, uids, maximum_bytes=self.intake.maximum_bytes)
        taken, not_given = 0, None
        for image in images:
            try:
                taken += self._take_image(image) if image.sop_instance_uid not in settled else 0
            except NotGiven as problem:
                not_given = problem
                log.warning("source_image_not_given", source=self.source.name, sop_instance_uid=image.sop_instance_uid)
        if taken:
            log.info("source_study_taken", source=self.source.name, images=taken)
        return taken, not_given

    def _take_image(self, image: HeldImage) -> int:
        """Whether it was taken; one that is gone, or that cannot be read and lies in quarantine, holds nothing up.

        Raises:
            NotGiven: The server has it, and does not give it.
        """
        try:
            self.intake.take_stream(self.feed.file(image), by=SERVICE, uid=image.sop_instance_uid)
        except (InputError, Gone) as error:
            log.warning("source_image_not_taken", source=self.source.name, reason=str(error))
            return 0
        return 1

    def _announce(self, study_id: str) -> None:
        with self.watcher.database.begin() as connection:
            sources.announce(connection, self.source.id, study_id, now=self.watcher.clock())

    def _forget(self, study_id: str) -> None:
        with self.watcher.database.begin() as connection:
            sources.forget(connection, self.source.id, study_id)

    def _move_on(self, change: Change, *, taken: int) -> None:
        with self.watcher.database.begin() as connection:
            sources.note_position(
                connection,
                self.source.id,
                change=change.number,
                mark=change.mark,
                taken=taken,
                now=self.watcher.clock(),
                lease=LEASE,
            )
