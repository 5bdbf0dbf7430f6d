"""What the node remembers, as tables.

An institution owns everything below it; a row of one institution is never shown to another.
Times are UTC with a zone. States are text with a CHECK, so that a reader of the database sees words.
Files live in the blob store; rows hold their keys and SHA-256 digests.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

STUDY_STATES: Final = (
    "receiving",
    "queued",
    "running",
    "reconstructed",
    "refused",
    "failed",
    "out-of-scope",
    "left-out",
)
"""`out-of-scope`: nothing in it is a radiograph. `left-out`: a rule of the institution leaves it out."""
RECONSTRUCTION_STATES: Final = ("queued", "running", "reconstructed", "refused", "failed", "superseded")
DELIVERY_STATES: Final = ("pending", "sent", "delivered", "not-accepted", "dead", "left-out", "withdrawn")
"""`sent`: stored there, its commitment is awaited. `not-accepted`: the peer does not take that kind of object.
`left-out`: a rule says not to send it there. `withdrawn`: a newer result took its place, or may."""
PRIORITIES: Final = ("stat", "high", "routine", "low")
COMMITMENT_SETTINGS: Final = ("auto", "never")
ASKED_FOR_SETTINGS: Final = ("nothing", "missing-views", "priors")
FETCH_PURPOSES: Final = ("missing-views", "prior")
FETCH_STATES: Final = ("pending", "fetched", "nothing", "given-up")
"""`nothing`: the peer answered, and has nothing that we lack."""
COMMITMENT_STATES: Final = ("asked", "answered", "declined", "overdue")
COMMITMENT_REPORT_STATES: Final = ("pending", "reported", "dead")
QUARANTINE_PROBLEMS: Final = ("unreadable", "identity-mismatch", "too-large")
LEDGER_EVENTS: Final = (
    "received",
    "quarantined",
    "used",
    "result",
    "replaced",
    "delivered",
    "not-delivered",
    "committed",
    "commitment-refused",
    "commitment-given",
    "removed",
)
INSTANCE_ROLES: Final = ("radiograph", "out-of-scope", "own-result")
REJECT_REASONS: Final = (
    "called-ae-title",
    "calling-ae-title",
    "address",
    "may-not-send",
    "too-many-associations",
    "peer-associations",
    "certificate",
    "other-certificate",
    "tls-handshake",
    "not-accepted",
)
ROLES: Final = ("admin", "radiologist", "technologist", "specialist")


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(v) for v in values)})", name=column)


def _id() -> Column[object]:
    return Column("id", UUID(as_uuid=True), primary_key=True, server_default=text("gen_random_uuid()"))


def _institution(*, nullable: bool = False) -> Column[object]:
    return Column("institution_id", ForeignKey("institutions.id"), nullable=nullable)


def _when(name: str, *, now: bool = False, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


def _days(*names: str) -> list[Column[object]]:
    """So many days each; 0: for ever."""
    return [Column(f"{name}_days", Integer, nullable=False, server_default="0") for name in names]


institutions = Table(
    "institutions",
    metadata,
    _id(),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("quiet_seconds", Integer, nullable=False, server_default="60"),
    Column("time_zone", Text, nullable=False, server_default=""),
    *_days("keep_images", "keep_results", "keep_replaced_results", "keep_quarantine", "keep_rejected_attempts"),
    Column("maximum_wait_seconds", Integer, nullable=False, server_default="600"),
    Column("waits", JSONB, nullable=False, server_default="[]"),
    Column("answers_refusals", Boolean, nullable=False, server_default="false"),
    _when("created_at", now=True),
)

called_ae_titles = Table(
    "called_ae_titles",
    metadata,
    Column("ae_title", Text, primary_key=True),
    _institution(),
)

peers = Table(
    "peers",
    metadata,
    _id(),
    _institution(),
    Column("ae_title", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("allow_from", ARRAY(Text), nullable=False, server_default="{}"),
    Column("sends", Boolean, nullable=False, server_default="false"),
    Column("receives", Boolean, nullable=False, server_default="false"),
    Column("commitment", Text, nullable=False, server_default="auto"),
    Column("tls", Boolean, nullable=False, server_default="false"),
    Column("requires_certificate", Boolean, nullable=False, server_default="false"),
    Column("asked_for", Text, nullable=False, server_default="nothing"),
    Column("certificates", ARRAY(Text), nullable=False, server_default="{}"),
    Column("maximum_associations", Integer, nullable=False, server_default="32"),
    Column("silence_alarm", Boolean, nullable=False, server_default="true"),
    Column("dicomweb_url", Text, nullable=False, server_default=""),
    Column("dicomweb_user", Text, nullable=False, server_default=""),
    Column("dicomweb_password_file", Text, nullable=False, server_default=""),
    Column("dicomweb_token_file", Text, nullable=False, server_default=""),
    Column("dicomweb_ca_file", Text, nullable=False, server_default=""),
    UniqueConstraint("institution_id", "ae_title"),
    _one_of("commitment", COMMITMENT_SETTINGS),
    _one_of("asked_for", ASKED_FOR_SETTINGS),
)

rules = Table(
    "rules",
    metadata,
    Column("institution_id", ForeignKey("institutions.id"), primary_key=True),
    Column("in_order", JSONB, nullable=False),
)
"""An institution's rules, as `pipeline.rules` writes them; no row where it has none."""

users = Table(
    "users",
    metadata,
    _id(),
    _institution(),
    Column("email", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    _when("verified_at", nullable=True),
    _when("disabled_at", nullable=True),
    _when("created_at", now=True),
    _one_of("role", ROLES),
)

login_attempts = Table(
    "login_attempts",
    metadata,
    _id(),
    Column("address_digest", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    _when("forgotten_at"),
    UniqueConstraint("address_digest", "source"),
)
"""Of any address, known here or not, until one succeeds or `forgotten_at` has passed."""

sessions = Table(
    "sessions",
    metadata,
    Column("token_digest", Text, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("csrf_token", Text, nullable=False),
    _when("created_at", now=True),
    _when("expires_at"),
)

tokens = Table(
    "tokens",
    metadata,
    _id(),
    _institution(),
    Column("name", Text, nullable=False),
    Column("token_digest", Text, nullable=False, unique=True),
    Column("may_read", Boolean, nullable=False),
    Column("may_store", Boolean, nullable=False),
    Column("revoked", Boolean, nullable=False, server_default="false"),
    _when("made_at", now=True),
    _when("used_at", nullable=True),
    UniqueConstraint("institution_id", "name"),
)
"""By which programs come in at the DICOMweb door; of the token itself only its SHA-256 is kept."""

login_links = Table(
    "login_links",
    metadata,
    Column("token_digest", Text, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    _when("expires_at"),
    _when("used_at", nullable=True),
)

settings_seeds = Table(
    "settings_seeds",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("seeded", JSONB, nullable=False),
    _when("seeded_at", now=True),
)
"""What `site.toml` last said of each subject: tells an edit of the file from a change by hand."""

settings_changes = Table(
    "settings_changes",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("who", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("undoes", ForeignKey("settings_changes.id")),
    _when("changed_at", now=True),
)

studies = Table(
    "studies",
    metadata,
    _id(),
    _institution(),
    Column("study_instance_uid", Text, nullable=False),
    Column("patient_id", Text, nullable=False, server_default=""),
    Column("patient_name", Text, nullable=False, server_default=""),
    Column("accession_number", Text, nullable=False, server_default=""),
    Column("study_date", Text, nullable=False, server_default=""),
    Column("study_description", Text, nullable=False, server_default=""),
    Column("uploaded_by", ForeignKey("users.id")),
    Column("state", Text, nullable=False, server_default="receiving"),
    Column("left_out", Text, nullable=False, server_default=""),
    Column("wanted_by", Text, nullable=False, server_default=""),
    _when("first_received_at", now=True),
    _when("last_received_at", now=True),
    _when("results_removed_at", nullable=True),
    _when("waiting_since", nullable=True),
    _when("wait_until", nullable=True),
    _when("look_at", nullable=True),
    Column("waits_for", Text, nullable=False, server_default=""),
    UniqueConstraint("institution_id", "study_instance_uid"),
    _one_of("state", STUDY_STATES),
)
"""`left_out`: the rule that left the study out, in a sentence. `wanted_by`: who wants it processed all the same.

While it is `receiving`: since when it waits (`waiting_since`), for what (`waits_for`), until when as things are
(`wait_until`), and when that is to be looked at again (`look_at`)."""

open_associations = Table(
    "open_associations",
    metadata,
    _id(),
    Column("listener", UUID(as_uuid=True), nullable=False),
    Column("institution_id", ForeignKey("institutions.id", ondelete="CASCADE"), nullable=False),
    Column("calling_ae_title", Text, nullable=False),
    Column("study_id", UUID(as_uuid=True)),
    _when("seen_at"),
    Index("ix_open_associations_listener", "listener"),
)
"""Senders that are at it: the study of the last image on each association; NULL while none has come."""

instances = Table(
    "instances",
    metadata,
    _id(),
    _institution(),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("sop_instance_uid", Text, nullable=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("series_instance_uid", Text, nullable=False),
    Column("transfer_syntax_uid", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("blob_key", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("header", JSONB, nullable=False, server_default="{}"),
    Column("attributes", JSONB(none_as_null=True)),
    Column("superseded", Boolean, nullable=False, server_default="false"),
    Column("calling_ae_title", Text, nullable=False),
    Column("called_ae_title", Text, nullable=False),
    Column("received_from", Text, nullable=False, server_default=""),
    _when("received_at", now=True),
    _when("removed_at", nullable=True),
    UniqueConstraint("institution_id", "sop_instance_uid", "digest"),
    _one_of("role", INSTANCE_ROLES),
)
"""`header` holds what settling and the viewer's list need: Modality, BodyPartExamined, view, side, Rows, Columns.
`attributes`, here and of `result_files`: what a DICOMweb search answers (PS3.18 F.2), once somebody has searched.

Same UID and digest again: nothing happens, success. Same UID, other digest: both are kept, the first stays in use and
the second is marked `superseded`; where the first was uploaded by somebody and the second is a device's, the other way
round. Of one that was removed by retention (`removed_at`) the bytes are gone.
"""

quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    _institution(nullable=True),
    Column("problem", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sop_class_uid", Text, nullable=False, server_default=""),
    Column("sop_instance_uid", Text, nullable=False, server_default=""),
    Column("calling_ae_title", Text, nullable=False),
    Column("called_ae_title", Text, nullable=False),
    Column("received_from", Text, nullable=False, server_default=""),
    Column("blob_key", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("cut_at", BigInteger),
    Column("times", BigInteger, nullable=False, server_default="1"),
    _when("received_at", now=True),
    _when("last_received_at", now=True),
    UniqueConstraint("blob_key", "problem", "sop_instance_uid", "calling_ae_title", name="uq_quarantine_the_same"),
    _one_of("problem", QUARANTINE_PROBLEMS),
)
"""What was received but could not be taken in, kept with the reason (`reason` is a sentence without patient data).

The same bytes again, from the same sender under the same UID, raise `times`: whoever gets an error tries again, perhaps
every minute. `cut_at`: so many bytes were taken then, and it had more."""

reconstructions = Table(
    "reconstructions",
    metadata,
    _id(),
    _institution(),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("input_digest", Text, nullable=False),
    Column("priority", Text, nullable=False, server_default="routine"),
    Column("instance_ids", ARRAY(UUID(as_uuid=True)), nullable=False),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("stage", Text, nullable=False, server_default=""),
    Column("fraction", Integer, nullable=False, server_default="0"),
    Column("progress_sentence", Text, nullable=False, server_default=""),
    Column("problem", Text, nullable=False, server_default=""),
    Column("traceback", Text, nullable=False, server_default=""),
    _when("queued_at", now=True),
    _when("started_at", nullable=True),
    _when("finished_at", nullable=True),
    UniqueConstraint("study_id", "input_digest"),
    _one_of("state", RECONSTRUCTION_STATES),
    _one_of("priority", PRIORITIES),
)
"""`fraction` is in per cent. `problem` is a sentence for people; `traceback` is for the dead letter."""

result_sets = Table(
    "result_sets",
    metadata,
    _id(),
    _institution(),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("reconstruction_id", ForeignKey("reconstructions.id"), nullable=False),
    Column("report", JSONB, nullable=False),
    _when("created_at", now=True),
    _when("replaced_at", nullable=True),
    Column("superseded_by", ForeignKey("result_sets.id", ondelete="SET NULL")),
)
"""A study's results are all `replaced_at` some time but the one that stands. `superseded_by`: the result of the study
that took its place, of whichever reconstruction, as long as that is kept."""

result_files = Table(
    "result_files",
    metadata,
    _id(),
    _institution(),
    Column("result_set_id", ForeignKey("result_sets.id"), nullable=False),
    Column("path", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("blob_key", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("sop_class_uid", Text),
    Column("sop_instance_uid", Text),
    Column("attributes", JSONB(none_as_null=True)),
    UniqueConstraint("result_set_id", "path"),
)

destinations = Table(
    "destinations",
    metadata,
    Column("peer_id", ForeignKey("peers.id", ondelete="CASCADE"), primary_key=True),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("problem", Text, nullable=False, server_default=""),
    _when("down_since", nullable=True),
    _when("next_attempt_at", now=True),
)
"""The circuit breaker of each peer that could not be reached: nothing is sent to it before `next_attempt_at`."""

commitments = Table(
    "commitments",
    metadata,
    _id(),
    _institution(),
    Column("peer_id", ForeignKey("peers.id", ondelete="CASCADE"), nullable=False),
    Column("transaction_uid", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False, server_default="asked"),
    _when("asked_at", now=True),
    _when("answer_due_at"),
    _when("answered_at", nullable=True),
    Column("kept", Integer),
    Column("not_kept", Integer),
    _one_of("state", COMMITMENT_STATES),
)
"""Storage commitments that we asked a peer for; `deliveries` say of what."""

commitment_reports = Table(
    "commitment_reports",
    metadata,
    _id(),
    _institution(),
    Column("peer_id", ForeignKey("peers.id", ondelete="CASCADE"), nullable=False),
    Column("transaction_uid", Text, nullable=False),
    Column("called_ae_title", Text, nullable=False),
    Column("instances", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("problem", Text, nullable=False, server_default=""),
    _when("requested_at", now=True),
    _when("next_attempt_at", now=True),
    _when("reported_at", nullable=True),
    UniqueConstraint("peer_id", "transaction_uid"),
    _one_of("state", COMMITMENT_REPORT_STATES),
)
"""Storage commitments that a peer asked us for, until it has heard. `instances`: [SOPClassUID, SOPInstanceUID] each."""

deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    _institution(),
    Column("result_file_id", ForeignKey("result_files.id"), nullable=False),
    Column("peer_id", ForeignKey("peers.id", ondelete="CASCADE"), nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("problem", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
    Column("commitment_id", ForeignKey("commitments.id", ondelete="SET NULL")),
    _when("planned_at", now=True),
    _when("next_attempt_at", now=True),
    _when("delivered_at", nullable=True),
    _when("committed_at", nullable=True),
    _when("own_fault_since", nullable=True),
    UniqueConstraint("result_file_id", "peer_id"),
    _one_of("state", DELIVERY_STATES),
)
"""`problem` says why it is not there, `note` what else is to be known of one that is. `own_fault_since`: since when
that problem is this node's own."""

connection_checks = Table(
    "connection_checks",
    metadata,
    _id(),
    _institution(),
    Column("peer_id", ForeignKey("peers.id", ondelete="CASCADE"), nullable=False),
    Column("ok", Boolean),
    Column("sentence", Text, nullable=False, server_default=""),
    _when("requested_at", now=True),
    _when("claimed_at", nullable=True),
    _when("finished_at", nullable=True),
)
"""A C-ECHO that the web asked the DICOM door for; `sentence` tells an administrator what to change where."""

ledger = Table(
    "ledger",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("institution_id", UUID(as_uuid=True), nullable=False),
    Column("event", Text, nullable=False),
    Column("sop_instance_uid", Text, nullable=False, index=True),
    Column("facts", JSONB, nullable=False),
    _when("recorded_at"),
    _one_of("event", LEDGER_EVENTS),
)
"""What became of each instance; written with what it tells, never changed. No patient data: UIDs, digests, titles.

No foreign keys: evidence outlives what it tells of.
"""

Index("ix_ledger_recorded_at", ledger.c.recorded_at, postgresql_using="brin")

ledger_seals = Table(
    "ledger_seals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", BigInteger, nullable=False, unique=True),
    Column("digest", Text, nullable=False),
)
"""The chain over `ledger`: each digest covers the entry and the digest before it."""

ledger_unsealed = Table(
    "ledger_unsealed",
    metadata,
    Column("entry_id", BigInteger, primary_key=True, autoincrement=False),
)
"""Entries that wait to be put into the chain; a moment later they are."""

unreferenced_blobs = Table(
    "unreferenced_blobs",
    metadata,
    Column("blob_key", Text, primary_key=True),
    _when("listed_at", now=True),
)
"""Blobs whose rows were removed: they go too, unless another row refers to them."""

arrivals = Table(
    "arrivals",
    metadata,
    Column("institution_id", UUID(as_uuid=True), primary_key=True),
    Column("calling_ae_title", Text, primary_key=True),
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("images", Integer, nullable=False),
    Column("studies", Integer, nullable=False),
    _when("last_at"),
)
"""What each sender sent in each hour, counted from `ledger`."""

Index(
    "ix_result_sets_current",
    result_sets.c.reconstruction_id,
    unique=True,
    postgresql_where=result_sets.c.replaced_at.is_(None),
)
Index("ix_deliveries_due", deliveries.c.next_attempt_at, postgresql_where=deliveries.c.state == "pending")
Index("ix_deliveries_commitment", deliveries.c.commitment_id)
Index("ix_instances_study", instances.c.study_id)
Index(
    "ix_instances_unread",
    instances.c.study_id,
    postgresql_where=instances.c.attributes.is_(None) & instances.c.removed_at.is_(None),
)
Index(
    "ix_result_files_unread",
    result_files.c.result_set_id,
    postgresql_where=result_files.c.attributes.is_(None) & result_files.c.sop_instance_uid.is_not(None),
)
Index("ix_studies_look_at", studies.c.look_at, postgresql_where=studies.c.state == "receiving")
Index("ix_result_sets_study", result_sets.c.study_id)
Index("ix_studies_recent", studies.c.institution_id, studies.c.last_received_at.desc())

rejected_attempts = Table(
    "rejected_attempts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("institution_id", ForeignKey("institutions.id", ondelete="CASCADE")),
    Column("reason", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("called_ae_title", Text, nullable=False),
    Column("calling_ae_title", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("wanted", Text, nullable=False, server_default=""),
    Column("certificate", Text, nullable=False, server_default=""),
    Column("times", BigInteger, nullable=False),
    _when("first_at"),
    _when("last_at"),
    UniqueConstraint("reason", "called_ae_title", "calling_ae_title", "address"),
    _one_of("reason", REJECT_REASONS),
    Index("ix_rejected_attempts_address", "address"),
    Index("ix_rejected_attempts_last", "last_at"),
)
"""Who was turned away at the DICOM door; the same attempt again raises `times`."""

sources = Table(
    "sources",
    metadata,
    _id(),
    _institution(),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("user_name", Text, nullable=False, server_default=""),
    Column("password_file", Text, nullable=False, server_default=""),
    Column("ca_file", Text, nullable=False, server_default=""),
    Column("history", Boolean, nullable=False, server_default="false"),
    UniqueConstraint("institution_id", "name"),
)
"""Orthanc servers whose change feed is watched for radiographs; secrets lie in files, never here."""

source_positions = Table(
    "source_positions",
    metadata,
    Column("source_id", ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True),
    Column("last_change", BigInteger),
    Column("last_mark", Text, nullable=False, server_default=""),
    Column("taken", BigInteger, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("problem", Text, nullable=False, server_default=""),
    _when("looked_at", nullable=True),
    _when("changed_at", nullable=True),
    _when("down_since", nullable=True),
    _when("next_look_at", now=True),
)
"""How far each source's change feed was read: the last change's number, and a mark that tells it from another
server's change of that number. `taken` counts the images that came from there."""

source_studies = Table(
    "source_studies",
    metadata,
    Column("source_id", ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True),
    Column("orthanc_id", Text, primary_key=True),
    _when("announced_at"),
)
"""Studies that a source has begun to receive and not called stable yet."""

fetches = Table(
    "fetches",
    metadata,
    _id(),
    _institution(),
    Column("study_id", ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
    Column("peer_id", ForeignKey("peers.id", ondelete="CASCADE"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("problem", Text, nullable=False, server_default=""),
    Column("images", Integer, nullable=False, server_default="0"),
    Column("fetched_study_uid", Text, nullable=False, server_default=""),
    _when("planned_at"),
    _when("next_attempt_at"),
    _when("finished_at", nullable=True),
    UniqueConstraint("study_id", "peer_id", "purpose"),
    _one_of("purpose", FETCH_PURPOSES),
    _one_of("state", FETCH_STATES),
    Index("ix_fetches_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
)
"""What peers are asked for by the node itself; `images` came, `fetched_study_uid` is the prior's."""
