"""Where files lie: content-addressed blobs, grouped by institution, in a local folder or in S3.

A key is `<institution>/<first two digits>/<SHA-256>`: the same bytes are kept once, and nothing is ever overwritten but
what has not the size of its bytes any more, when they come again.
When `put_file` returns, the bytes survive a power failure.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import BinaryIO, Final
from uuid import UUID

import obstore
import structlog
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from pipeline.errors import ConfigurationError, TransientError
from pipeline.settings import NodeSettings

CHUNK_BYTES: Final = 1 << 20
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)

log = structlog.get_logger(__name__)


class StoreUnavailable(TransientError):  # noqa: N818 - says what is the matter
    """The blob store does not answer, or a file could not be read from or written to it."""


class OutOfSpace(TransientError):  # noqa: N818 - says what is the matter
    """There is no space left for what should be stored; nothing was acknowledged."""


@dataclass(frozen=True, kw_only=True)
class Blob:
    """Bytes in the store.

    Attributes:
        key: Where.
        digest: Their SHA-256, hexadecimal.
        size: How many.
    """

    key: str
    digest: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Store:
    """An open blob store.

    Attributes:
        backend: obstore's own store.
        folder: Of a local store; None for S3.
    """

    backend: ObjectStore
    folder: Path | None

    def put_file(self, institution_id: UUID, path: Path, *, digest: str | None = None) -> Blob:
        """Keep the bytes of a file, durably, once.

        Args:
            institution_id: Whose they are.
            path: The file; it stays where it is. On the same file system as a local store nothing is copied: do not
                change the file afterwards, only remove it.
            digest: SHA-256 of its bytes, hexadecimal, where the caller has it; None: they are read for it.

        Raises:
            OutOfSpace: There is no room.
            StoreUnavailable: Reading or writing failed.
        """
        with storage_errors():
            found, size = _synced(path, digest)
            key = _key(institution_id, found)
            if self.folder is None:
                self._put_remote(path, key)
            else:
                _link_durably(path, self.folder / key)
        return Blob(key=key, digest=found, size=size)

    def read(self, key: str) -> bytes:
        """All bytes of a blob.

        Raises:
            StoreUnavailable: There is no such blob, or the store does not answer.
        """
        with storage_errors():
            return bytes(obstore.get(self.backend, key).bytes())

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of a blob, piece by piece.

        Raises:
            StoreUnavailable: There is no such blob, or the store stopped answering.
        """
        with storage_errors():
            for chunk in obstore.get(self.backend, key).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        """A blob as a file; a local store's is not read further than its reader goes.

        Raises:
            StoreUnavailable: There is no such blob, or the store does not answer.
        """
        if self.folder is None:
            yield BytesIO(self.read(key))
            return
        with storage_errors():
            file = (self.folder / key).open("rb")
        with file:
            yield file

    def has(self, key: str) -> bool:
        """Whether there is such a blob; it is not read.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        with storage_errors():
            if self.folder is not None:
                return (self.folder / key).exists()  # obstore would ask in a thread of its own
            try:
                obstore.head(self.backend, key)
            except FileNotFoundError:
                return False
        return True

    def holds(self, institution_id: UUID, digest: str) -> bool:
        """Whether the very bytes of that digest are here: they are read and hashed again.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        hashed = hashlib.sha256()
        try:
            for chunk in self.chunks(_key(institution_id, digest)):
                hashed.update(chunk)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        return hashed.hexdigest() == digest

    def fetch(self, key: str, path: Path) -> None:
        """Write a blob to a new file.

        Raises:
            OutOfSpace: There is no room.
            StoreUnavailable: There is no such blob, or the store stopped answering.
        """
        with storage_errors(), path.open("xb") as file:
            for chunk in self.chunks(key):
                file.write(chunk)

    def lend(self, key: str, path: Path) -> None:
        """Give a blob another name, for a while: nothing is copied on the file system of a local store.

        It is to be read and removed, never changed: what is changed there is changed in the store.

        Raises:
            OutOfSpace: There is no room.
            StoreUnavailable: There is no such blob, or the store stopped answering.
        """
        if self.folder is not None:
            with storage_errors():
                try:
                    os.link(self.folder / key, path)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                else:
                    return
        self.fetch(key, path)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove blobs; one that is not there is none to remove.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        with storage_errors():
            for key in keys:
                with suppress(FileNotFoundError):
                    obstore.delete(self.backend, key)

    def _put_remote(self, path: Path, key: str) -> None:
        try:
            obstore.put(self.backend, key, path, mode="create")
        except AlreadyExistsError:  # the same digest: the same bytes, if they are whole
            if _is_damaged(key, held=obstore.head(self.backend, key)["size"], whole=path.stat().st_size):
                obstore.put(self.backend, key, path, mode="overwrite")


def open_store(settings: NodeSettings) -> Store:
    """The store that the settings name: the folder `blobs` in the data folder, or S3.

    Raises:
        ConfigurationError: The URL is not one of a store.
    """
    if settings.blob_url:
        try:
            return Store(backend=from_url(settings.blob_url), folder=None)
        except BaseError as error:
            raise ConfigurationError(f"blob_url must look like s3://bucket/prefix: {error}") from error
    folder = settings.data_folder.absolute() / "blobs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Store(backend=LocalStore(folder), folder=folder)


def _key(institution_id: UUID, digest: str) -> str:
    return f"{institution_id}/{digest[:2]}/{digest}"


def _synced(path: Path, digest: str | None) -> tuple[str, int]:
    """SHA-256 (found out where it is not given) and size of a file whose bytes are on the disk afterwards."""
    if digest is None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest, _sync(path).st_size


def _link_durably(source: Path, target: Path) -> None:
    """Give the synced bytes of `source` a second name, and wait until that name is on the disk."""
    for folder in (target.parent.parent, target.parent):
        if folder.is_dir():
            _sync_name(folder)
        else:
            _make_folder(folder)
    try:
        _link(source, target)
    except FileExistsError:  # the same digest: the same bytes, if they are whole
        if _is_damaged(target.name, held=target.stat().st_size, whole=source.stat().st_size):
            with TemporaryDirectory(dir=target.parent, prefix=".incoming-") as beside:
                anew = Path(beside) / target.name
                _link(source, anew)
                anew.replace(target)
    _sync(target.parent)  # also of a name that was there: it may not be on the disk yet


def _is_damaged(blob: str, *, held: int, whole: int) -> bool:
    """Whether what is held under a digest cannot be its bytes: who sends them again must not hear that we have them."""
    if held != whole:
        log.error("damaged_blob_replaced", blob=blob, bytes=held, should_be=whole)
    return held != whole


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_durably(source, target)


def _copy_durably(source: Path, target: Path) -> None:
    with NamedTemporaryFile(dir=target.parent, prefix=".incoming-") as copy, source.open("rb") as original:
        shutil.copyfileobj(original, copy, CHUNK_BYTES)
        copy.flush()
        os.fsync(copy.fileno())
        os.link(copy.name, target)


def _make_folder(folder: Path) -> None:
    folder.mkdir(exist_ok=True, mode=0o700)
    _sync(folder.parent)


@cache
def _sync_name(folder: Path) -> None:
    """Wait, once, until a folder's own name is on the disk: another thread may have made it and not come so far yet."""
    _sync(folder.parent)


def _sync(path: Path) -> os.stat_result:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors() -> Iterator[None]:
    """What goes wrong with files in the block, as ours.

    Raises:
        OutOfSpace: There is no room.
        StoreUnavailable: Reading or writing failed.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise StoreUnavailable("a file is missing in the blob store: bring it back from a backup") from error
    except OSError as error:
        if error.errno in NO_SPACE:
            raise OutOfSpace("no space left for files: add space to the data folder") from error
        raise StoreUnavailable(
            f"a file could not be read or written ({error.strerror or type(error).__name__}): look at the data folder"
        ) from error
    except BaseError as error:
        raise StoreUnavailable(
            f"the blob store does not answer as it should ({type(error).__name__}): see whether the node can reach it"
        ) from error
