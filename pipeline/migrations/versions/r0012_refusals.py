"""Whether refused studies are answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.add_column("institutions", sa.Column("answers_refusals", sa.Boolean(), server_default="false", nullable=False))
