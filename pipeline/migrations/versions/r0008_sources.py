"""Create the tables of what is fetched from peers and of sources whose change feed is watched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them."""
    op.add_column("peers", sa.Column("asked_for", sa.Text(), server_default="nothing", nullable=False))
    op.create_check_constraint(
        op.f("ck_peers_asked_for"), "peers", "asked_for IN ('nothing', 'missing-views', 'priors')"
    )
    _create_sources()
    _create_fetches()


def _create_sources() -> None:
    op.create_table(
        "sources",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("institution_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), server_default="", nullable=False),
        sa.Column("password_file", sa.Text(), server_default="", nullable=False),
        sa.Column("ca_file", sa.Text(), server_default="", nullable=False),
        sa.Column("history", sa.Boolean(), server_default="false", nullable=False),
        sa.ForeignKeyConstraint(["institution_id"], ["institutions.id"], name=op.f("fk_sources_institution_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("institution_id", "name", name=op.f("uq_sources_institution_id_name")),
    )
    op.create_table(
        "source_positions",
        sa.Column("source_id", sa.UUID(), nullable=False),
        sa.Column("last_change", sa.BigInteger(), nullable=True),
        sa.Column("last_mark", sa.Text(), server_default="", nullable=False),
        sa.Column("taken", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("down_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_look_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_source_positions_source_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_source_positions")),
    )
    op.create_table(
        "source_studies",
        sa.Column("source_id", sa.UUID(), nullable=False),
        sa.Column("orthanc_id", sa.Text(), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_source_studies_source_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "orthanc_id", name=op.f("pk_source_studies")),
    )


def _create_fetches() -> None:
    op.create_table(
        "fetches",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("institution_id", sa.UUID(), nullable=False),
        sa.Column("study_id", sa.UUID(), nullable=False),
        sa.Column("peer_id", sa.UUID(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.Column("images", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fetched_study_uid", sa.Text(), server_default="", nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('missing-views', 'prior')", name=op.f("ck_fetches_purpose")),
        sa.CheckConstraint("state IN ('pending', 'fetched', 'nothing', 'given-up')", name=op.f("ck_fetches_state")),
        sa.ForeignKeyConstraint(["institution_id"], ["institutions.id"], name=op.f("fk_fetches_institution_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_fetches_study_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["peer_id"], ["peers.id"], name=op.f("fk_fetches_peer_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fetches")),
        sa.UniqueConstraint("study_id", "peer_id", "purpose", name=op.f("uq_fetches_study_id_peer_id_purpose")),
    )
    op.create_index(
        "ix_fetches_due",
        "fetches",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
