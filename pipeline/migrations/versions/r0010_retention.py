"""Retention, and the usual rate of senders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEPT = ("keep_images", "keep_results", "keep_replaced_results", "keep_quarantine", "keep_rejected_attempts")


def upgrade() -> None:
    """Add them."""
    op.add_column("institutions", sa.Column("time_zone", sa.Text(), server_default="", nullable=False))
    for name in KEPT:
        op.add_column("institutions", sa.Column(f"{name}_days", sa.Integer(), server_default="0", nullable=False))
    op.add_column("peers", sa.Column("silence_alarm", sa.Boolean(), server_default="true", nullable=False))
    op.add_column("studies", sa.Column("results_removed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("instances", sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_instances_unread",
        "instances",
        ["study_id"],
        postgresql_where=sa.text("attributes IS NULL AND removed_at IS NULL"),
    )
    for name in ("kept", "not_kept"):
        op.add_column("commitments", sa.Column(name, sa.Integer(), nullable=True))
    op.create_table(
        "unreferenced_blobs",
        sa.Column("blob_key", sa.Text(), nullable=False),
        sa.Column("listed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("blob_key", name=op.f("pk_unreferenced_blobs")),
    )
    op.create_table(
        "arrivals",
        sa.Column("institution_id", sa.UUID(), nullable=False),
        sa.Column("calling_ae_title", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("studies", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("institution_id", "calling_ae_title", "hour", name=op.f("pk_arrivals")),
    )
    # Of a table that only grows in time, one entry for many pages: next to nothing to write.
    op.create_index("ix_ledger_recorded_at", "ledger", ["recorded_at"], unique=False, postgresql_using="brin")
    _also_allow_event("removed")


def _also_allow_event(event: str) -> None:
    """Add to the events of the ledger that the revisions before this one allow."""
    constraint = "ck_ledger_event"
    found = sa.text(
        "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint"
        " WHERE conname = :name AND conrelid = 'ledger'::regclass"
    )
    allowed = op.get_bind().execute(found, {"name": constraint}).scalar_one()
    op.drop_constraint(op.f(constraint), "ledger", type_="check")
    op.create_check_constraint(op.f(constraint), "ledger", f"({allowed}) OR event = '{event}'")
