"""The way to the node's database: a PostgreSQL given by URL, or the embedded one of the data folder.

Whoever starts it, the product talks to it as a plain role that owns its database: what a mistake could do
stays in this database.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as NoneFree

from pipeline.embedded_postgres import embedded_url
from pipeline.errors import ConfigurationError, TransientError
from pipeline.settings import NodeSettings

CONNECT_TIMEOUT_SECONDS: Final = 5
CONNECTIONS_KEPT: Final = 10
MOST_CONNECTIONS: Final = 60
"""Of one process."""
RECYCLE_SECONDS: Final = 180
"""So old a connection is not used any more; firewalls on the way forget, without a word, who is silent for longer."""


class DatabaseUnavailable(TransientError):  # noqa: N818 - says what is the matter
    """PostgreSQL does not answer, or went away in the middle; the same work may succeed later."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """An open database.

    Attributes:
        url: Where it is (SQLAlchemy form, may hold a password: never log it).
        engine: SQLAlchemy's pool of connections to it.
    """

    url: str
    engine: Engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back by an exception.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer, went away before the commit was confirmed, or every
                connection to it was in use for too long.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError) as error:
            raise DatabaseUnavailable(
                f"PostgreSQL does not answer ({type(error.orig).__name__}): is it running, and is database_url right?"
            ) from error
        except NoneFree as error:
            raise DatabaseUnavailable("every connection to PostgreSQL is in use: see what keeps it busy") from error

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    @property
    def libpq_url(self) -> str:
        """The same place as libpq and psycopg write it."""
        return self.url.replace("postgresql+psycopg://", "postgresql://", 1)


def open_database(settings: NodeSettings) -> Database:
    """The database that the settings name; nothing is connected yet.

    Raises:
        ConfigurationError: The URL is not PostgreSQL's.
        EmbeddedPostgresNotRunning: No URL is given and the data folder's own PostgreSQL is not running.
    """
    return open_url(settings.database_url or embedded_url(settings.data_folder))


def open_url(url: str) -> Database:
    """The database at `url`: `postgresql://…`, or the same with SQLAlchemy's `+psycopg`.

    Raises:
        ConfigurationError: The URL is not PostgreSQL's.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ConfigurationError("database_url must look like postgresql://user:password@host/name")
    sqlalchemy_url = f"postgresql+psycopg://{rest}"
    engine = create_engine(
        sqlalchemy_url,
        hide_parameters=True,  # values in error messages may be patient data
        pool_recycle=RECYCLE_SECONDS,
        pool_size=CONNECTIONS_KEPT,
        max_overflow=MOST_CONNECTIONS - CONNECTIONS_KEPT,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
    )
    event.listen(engine, "connect", _wait_for_the_disk)
    event.listen(engine, "checkout", _refuse_dead)
    return Database(url=sqlalchemy_url, engine=engine)


def _wait_for_the_disk(connection: psycopg.Connection, _record: object) -> None:
    """What is acknowledged is committed to the disk, also where the server, database or role have that switched off.

    Who waits for less or more than the server's own disk, its replicas', goes on to do so.
    """
    off = "current_setting('synchronous_commit') = 'off'"
    connection.execute(f"SELECT set_config('synchronous_commit', 'on', false) WHERE {off}")
    connection.commit()


def _refuse_dead(connection: psycopg.Connection, _record: object, _pooled: object) -> None:
    """A restarted PostgreSQL must not cost anybody an error, nor each transaction a question whether it is there.

    PostgreSQL says nothing unasked but that it ends; a connection on which something has come is of no use.

    Raises:
        InvalidatePoolError: To the pool, which connects anew.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError("PostgreSQL has hung up")
