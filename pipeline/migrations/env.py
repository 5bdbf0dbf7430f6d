"""Run by Alembic: migrate on the connection that `pipeline.migrations.upgrade` holds."""

from __future__ import annotations

from alembic import context

from pipeline.records.tables import metadata


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Whether Alembic should compare this table: PgQueuer looks after its own."""
    return not (kind == "table" and name is not None and name.startswith("pgqueuer"))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_name=is_ours,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
