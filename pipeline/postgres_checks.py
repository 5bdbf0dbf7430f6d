"""Whether PostgreSQL is set so that what it confirms outlives a power failure, and lets enough of the node in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, func, select

from pipeline.database import MOST_CONNECTIONS
from pipeline.finding import Finding, ill, well

DURABLE: Final = ("fsync", "full_page_writes")
CONNECTIONS_NEEDED: Final = 2 * MOST_CONNECTIONS + 20
"""Listener and web door take as many as one process may; workers, delivery and commands a few each."""
CONNECTIONS_ADVISED: Final = 200


def check_postgres(connection: Connection) -> Iterator[Finding]:
    """Its settings, each with the change to make."""
    off = [name for name in DURABLE if _setting(connection, name) != "on"]
    for name in off:
        change = f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();"
        yield ill(
            "durability", f"{name} is off, so a power failure may cost what was acknowledged: as superuser {change}"
        )
    if not off:
        yield well("durability", "the database is on the disk before anything is acknowledged")
    connections = int(_setting(connection, "max_connections"))
    if connections < CONNECTIONS_NEEDED:
        yield ill(
            "connections",
            f"the database lets {connections} in, and a busy node needs {CONNECTIONS_NEEDED}: as superuser "
            f"ALTER SYSTEM SET max_connections = {CONNECTIONS_ADVISED}; then restart PostgreSQL",
        )


def _setting(connection: Connection, name: str) -> str:
    return str(connection.execute(select(func.current_setting(name))).scalar_one())
