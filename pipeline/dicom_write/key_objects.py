"""Key Object Selection Document Storage (PS3.3 A.35.4): what to look at first.

A workstation that shows key images shows the proof views among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from pipeline.dicom_write.imaging_report import bare, observed_by_device
from pipeline.dicom_write.origin import Origin
from pipeline.dicom_write.uids import MANUFACTURER
from pipeline.results import DISCLAIMER

SERIES_NUMBER: Final = 9041


class KeyProofs(KeyObjectSelectionDocument):
    """Names the proof views and the radiographs that they show."""

    def __init__(self, proofs: Sequence[Dataset], origin: Origin) -> None:
        """Build the instance in memory.

        Args:
            proofs: The proof views, in the order in which they are to be looked at; at least one.
            origin: What the reconstruction was made from.
        """
        chosen = [bare(dataset) for dataset in (*proofs, *origin.sources)]
        super().__init__(
            evidence=chosen,
            content=KeyObjectSelection(
                document_title=codes.DCM.OfInterest,
                referenced_objects=chosen,
                observer_device_context=observed_by_device(origin),
                description=f"Bones reconstructed in 3D: their outlines on the radiographs. {DISCLAIMER}",
            ),
            series_instance_uid=origin.uid("series/key-objects"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=origin.uid("instance/key-objects"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            series_description="Bonecraft: look here first",
        )
        origin.stamp(self)
