"""Let peers speak DICOMweb, and programs read and store by DICOMweb with tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PEER_COLUMNS = ("url", "user", "password_file", "token_file", "ca_file")


def upgrade() -> None:
    """Add them."""
    for column in PEER_COLUMNS:
        op.add_column("peers", sa.Column(f"dicomweb_{column}", sa.Text(), server_default="", nullable=False))
    for table in ("instances", "result_files"):
        op.add_column(table, sa.Column("attributes", JSONB(none_as_null=True), nullable=True))
    op.create_index(
        "ix_result_files_unread",
        "result_files",
        ["result_set_id"],
        postgresql_where=sa.text("attributes IS NULL AND sop_instance_uid IS NOT NULL"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("institution_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_digest", sa.Text(), nullable=False),
        sa.Column("may_read", sa.Boolean(), nullable=False),
        sa.Column("may_store", sa.Boolean(), nullable=False),
        sa.Column("revoked", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["institution_id"], ["institutions.id"], name=op.f("fk_tokens_institution_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("institution_id", "name", name=op.f("uq_tokens_institution_id_name")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_tokens_token_digest")),
    )
