"""How the database came to its present shape: Alembic's revisions, run by the product itself.

`upgrade` may be called by any number of processes at once: they queue up on an advisory lock.
"""

from __future__ import annotations

from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

ADVISORY_LOCK: Final = 0x626F6E65
"""Any number nobody else locks: "bone" in ASCII."""


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest revision, in one transaction; does nothing where it is already there."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config() -> Config:
    """Alembic's settings without a file: where the revisions lie."""
    config = Config()
    config.set_main_option("script_location", "pipeline:migrations")
    config.set_main_option("path_separator", "os")
    return config


def is_current(connection: Connection) -> bool:
    """Whether the database has the newest revision."""
    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == newest
