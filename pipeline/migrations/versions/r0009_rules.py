"""Keep rules; remember what they left out and how urgent a reconstruction is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "rules",
        sa.Column("institution_id", sa.UUID(), nullable=False),
        sa.Column("in_order", JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["institution_id"], ["institutions.id"], name=op.f("fk_rules_institution_id")),
        sa.PrimaryKeyConstraint("institution_id", name=op.f("pk_rules")),
    )
    for column in ("left_out", "wanted_by"):
        op.add_column("studies", sa.Column(column, sa.Text(), server_default="", nullable=False))
    op.add_column("reconstructions", sa.Column("priority", sa.Text(), server_default="routine", nullable=False))
    op.create_check_constraint(
        op.f("ck_reconstructions_priority"), "reconstructions", "priority IN ('stat', 'high', 'routine', 'low')"
    )
    _allow_left_out("studies", "'receiving', 'queued', 'running', 'reconstructed', 'refused', 'failed', 'out-of-scope'")
    _allow_left_out("deliveries", "'pending', 'sent', 'delivered', 'not-accepted', 'dead', 'withdrawn'")


def _allow_left_out(table: str, states: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_state"), table)
    op.create_check_constraint(op.f(f"ck_{table}_state"), table, f"state IN ({states}, 'left-out')")
