"""Let peers have a limit of associations and certificates of their own; more reasons to turn somebody away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them."""
    several = sa.Column("maximum_associations", sa.Integer(), server_default="32", nullable=False)
    op.add_column("peers", several)
    op.add_column("peers", sa.Column("certificates", sa.ARRAY(sa.Text()), server_default="{}", nullable=False))
    shown = sa.Column("certificate", sa.Text(), server_default="", nullable=False)
    op.add_column("rejected_attempts", shown)
    _replace_check(
        "rejected_attempts",
        "reason",
        "reason IN ('called-ae-title', 'calling-ae-title', 'address', 'may-not-send', 'too-many-associations', "
        "'peer-associations', 'certificate', 'other-certificate', 'tls-handshake', 'not-accepted')",
    )
    _replace_check("quarantine", "problem", "problem IN ('unreadable', 'identity-mismatch', 'too-large')")


def _replace_check(table: str, column: str, condition: str) -> None:
    name = op.f(f"ck_{table}_{column}")
    op.drop_constraint(name, table)
    op.create_check_constraint(name, table, condition)
