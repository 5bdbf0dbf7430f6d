"""Create the table of rejected attempts; let peers speak TLS."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "rejected_attempts",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("institution_id", sa.UUID(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("called_ae_title", sa.Text(), nullable=False),
        sa.Column("calling_ae_title", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Text(), server_default="", nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "reason IN ('called-ae-title', 'calling-ae-title', 'address', 'may-not-send', 'too-many-associations', "
            "'certificate', 'tls-handshake')",
            name=op.f("ck_rejected_attempts_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["institution_id"],
            ["institutions.id"],
            name=op.f("fk_rejected_attempts_institution_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_attempts")),
        sa.UniqueConstraint(
            "reason",
            "called_ae_title",
            "calling_ae_title",
            "address",
            name=op.f("uq_rejected_attempts_reason_called_ae_title_calling_ae_title_address"),
        ),
    )
    op.create_index("ix_rejected_attempts_address", "rejected_attempts", ["address"], unique=False)
    op.create_index("ix_rejected_attempts_last", "rejected_attempts", ["last_at"], unique=False)
    for column in ("tls", "requires_certificate"):
        op.add_column("peers", sa.Column(column, sa.Boolean(), server_default="false", nullable=False))
