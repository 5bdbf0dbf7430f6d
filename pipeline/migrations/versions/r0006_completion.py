"""Let studies say what they wait for, and results which result took their place."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DELIVERY_STATES = ("pending", "sent", "delivered", "not-accepted", "dead", "withdrawn")
LEDGER_EVENTS = (
    *("received", "quarantined", "used", "result", "replaced", "delivered", "not-delivered"),
    *("committed", "commitment-refused", "commitment-given"),
)


def upgrade() -> None:
    """Add the columns, the table of open associations, and the new states."""
    _institutions_and_studies()
    _open_associations()
    op.add_column("result_sets", sa.Column("superseded_by", sa.UUID(), nullable=True))
    op.create_foreign_key(
        op.f("fk_result_sets_superseded_by"),
        "result_sets",
        "result_sets",
        ["superseded_by"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index("ix_result_sets_study", "result_sets", ["study_id"], unique=False)
    for table, column, words in (("deliveries", "state", DELIVERY_STATES), ("ledger", "event", LEDGER_EVENTS)):
        op.drop_constraint(op.f(f"ck_{table}_{column}"), table, type_="check")
        allowed = ", ".join(map(repr, words))
        op.create_check_constraint(op.f(f"ck_{table}_{column}"), table, f"{column} IN ({allowed})")


def _institutions_and_studies() -> None:
    number = sa.Column("maximum_wait_seconds", sa.Integer(), server_default="600", nullable=False)
    op.add_column("institutions", number)
    waits = sa.Column("waits", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False)
    op.add_column("institutions", waits)
    for name in ("waiting_since", "wait_until", "look_at"):
        op.add_column("studies", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("studies", sa.Column("waits_for", sa.Text(), server_default="", nullable=False))
    receiving = sa.text("state = 'receiving'")
    op.create_index("ix_studies_look_at", "studies", ["look_at"], unique=False, postgresql_where=receiving)
    # Studies that wait now are looked at with the next chance.
    op.execute("UPDATE studies SET waiting_since = last_received_at, look_at = now() WHERE state = 'receiving'")


def _open_associations() -> None:
    op.create_table(
        "open_associations",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("listener", sa.UUID(), nullable=False),
        sa.Column("institution_id", sa.UUID(), nullable=False),
        sa.Column("calling_ae_title", sa.Text(), nullable=False),
        sa.Column("study_id", sa.UUID(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["institution_id"],
            ["institutions.id"],
            name=op.f("fk_open_associations_institution_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_open_associations")),
    )
    op.create_index("ix_open_associations_listener", "open_associations", ["listener"], unique=False)
