"""What may leave the house: a result is fetched before a peer is called for it, and judged before it goes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from pipeline.database import Database
from pipeline.dicom_check import check_instance
from pipeline.errors import InputError, TransientError
from pipeline.records import deliveries
from pipeline.records.deliveries import DueDelivery
from pipeline.scratch import working_folder
from pipeline.store import Store
from scp_node.sending import OutgoingFile

UNREADABLE: Final = "the result or a radiograph it was made from cannot be read ({error}): check the blob store"


class Unsound(InputError):  # noqa: N818 - says what is the matter
    """The result may not leave, and trying again cannot help."""


class NotReady(TransientError):  # noqa: N818 - says what is the matter
    """This node could not make the result ready: nothing that its peer has to do with."""


@dataclass(frozen=True, kw_only=True)
class Packer:
    """Makes results ready; several threads may ask it to.

    Attributes:
        database: The node's records.
        store: Where results lie.
        attempts: How often a delivery may be tried.
        folder: Where they are put.
        headers: Of the radiographs that were read so far, by their keys: results of one study share them.
    """

    database: Database
    store: Store
    attempts: int
    folder: Path
    headers: dict[str, Dataset] = field(default_factory=dict)

    def pack(self, delivery: DueDelivery) -> OutgoingFile:
        """The file to be sent, if it may.

        Raises:
            Unsound: There is none that may leave, and why.
            NotReady: It cannot be had now.
        """
        if delivery.attempts > self.attempts:
            raise Unsound(delivery.problem or "every attempt was interrupted: see the log of the delivery")
        path = self.folder / f"{delivery.id}.dcm"
        with _in_our_words():
            self.store.lend(delivery.blob_key, path)
            return OutgoingFile.read(path)

    def judge(self, delivery: DueDelivery, file: OutgoingFile) -> None:
        """Nothing, where it may leave.

        Raises:
            Unsound: It may not, and why.
            NotReady: What it is judged by cannot be had now.
        """
        with _in_our_words():
            findings = check_instance(dcmread(file.path), sources=self._sources(delivery))
        if findings:
            raise Unsound(" ".join(finding.sentence for finding in findings))

    def _sources(self, delivery: DueDelivery) -> list[Dataset]:
        """The headers of the radiographs that a result was made from.

        The check gets copies: what it decodes could not be compared byte for byte any more.
        """
        with self.database.begin() as connection:
            keys = deliveries.source_blob_keys(connection, delivery.id)
        self.headers.update({key: self._header(key) for key in keys if key not in self.headers})
        return [copy.deepcopy(self.headers[key]) for key in keys]

    def _header(self, key: str) -> Dataset:
        with working_folder(self.folder, prefix="source-") as folder:
            path = folder / "source.dcm"
            self.store.lend(key, path)
            # Forced: intake takes files without the preamble of PS3.10 7.1 too.
            return dcmread(path, force=True, stop_before_pixels=True)


@contextmanager
def _in_our_words() -> Iterator[None]:
    """What goes wrong with the files in the block.

    Raises:
        Unsound: One is damaged.
        NotReady: One cannot be had, or read, now.
    """
    try:
        yield
    except (InputError, InvalidDicomError) as error:
        raise Unsound("the stored result is no DICOM file any more: check the blob store") from error
    except TransientError as error:
        raise NotReady(str(error)) from error
    except Exception as error:  # pydicom raises anything for damaged bytes; values stay out of the log
        raise NotReady(UNREADABLE.format(error=type(error).__name__)) from error
