"""Tell our own faults from the peers'; one row for what is sent into quarantine again and again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

RESULTS_THAT_WERE_REPLACED = """
    UPDATE deliveries SET state = 'withdrawn'
    FROM result_files, result_sets
    WHERE deliveries.state IN ('dead', 'not-accepted')
      AND result_files.id = deliveries.result_file_id AND result_files.kind <> 'rejection-note'
      AND result_sets.id = result_files.result_set_id AND result_sets.replaced_at IS NOT NULL
"""

THE_SAME = "blob_key, problem, sop_instance_uid, calling_ae_title"

COUNT_UP = f"""
    UPDATE quarantine SET times = same.times, last_received_at = same.last_received_at
    FROM (
        SELECT (array_agg(id ORDER BY received_at, id))[1] AS id, count(*) AS times,
               max(received_at) AS last_received_at
        FROM quarantine GROUP BY {THE_SAME}
    ) AS same
    WHERE quarantine.id = same.id
"""  # noqa: S608 - the names above

KEEP_THE_FIRST = f"""
    DELETE FROM quarantine WHERE id NOT IN (
        SELECT (array_agg(id ORDER BY received_at, id))[1] FROM quarantine GROUP BY {THE_SAME}
    )
"""  # noqa: S608 - the names above


def upgrade() -> None:
    """Add them, and tidy what is there."""
    op.add_column("deliveries", sa.Column("own_fault_since", sa.DateTime(timezone=True), nullable=True))
    op.execute(RESULTS_THAT_WERE_REPLACED)
    op.add_column("quarantine", sa.Column("cut_at", sa.BigInteger(), nullable=True))
    op.add_column("quarantine", sa.Column("times", sa.BigInteger(), server_default="1", nullable=False))
    now = sa.text("now()")
    op.add_column(
        "quarantine", sa.Column("last_received_at", sa.DateTime(timezone=True), server_default=now, nullable=False)
    )
    op.execute(COUNT_UP)
    op.execute(KEEP_THE_FIRST)
    op.create_unique_constraint("uq_quarantine_the_same", "quarantine", THE_SAME.split(", "))
