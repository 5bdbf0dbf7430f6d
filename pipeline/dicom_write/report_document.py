"""Encapsulated PDF Storage (PS3.3 A.45.1): the pictures of a result as a document to print or to mail.

highdicom has no class for it, so this is one in its style.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from highdicom.base import SOPClass
from PIL import Image
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from pipeline.dicom_write.codes import code_item
from pipeline.dicom_write.encapsulated import enclose
from pipeline.dicom_write.inputs import PlainPicture, ProofPicture
from pipeline.dicom_write.origin import Origin, instance_item
from pipeline.results import DISCLAIMER

SERIES_NUMBER: Final = 9091
TITLE: Final = "Bones reconstructed in 3D"

DOTS_PER_INCH: Final = 150
"""A page is as large as its picture: the measurements fill the width of a letter."""

JPEG_QUALITY: Final = 90


class ReportDocument(SOPClass):
    """One page for each picture."""

    def __init__(self, pictures: Sequence[PlainPicture | ProofPicture], origin: Origin) -> None:
        """Build the instance in memory.

        Args:
            pictures: In the order of the pages, at least one.
            origin: What the reconstruction was made from.
        """
        super().__init__(
            study_instance_uid=origin.sources[0].StudyInstanceUID,
            series_instance_uid=origin.uid("series/report-document"),
            series_number=SERIES_NUMBER,
            series_description="Bonecraft: report to print",
            sop_instance_uid=origin.uid("instance/report-document"),
            sop_class_uid=EncapsulatedPDFStorage,
            instance_number=1,
            modality="DOC",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        origin.stamp(self)
        self.ConversionType = "WSD"
        self.AcquisitionDateTime = ""
        # Only the radiographs can say that no name is burned into them.
        clean = all(source.get("BurnedInAnnotation") == "NO" for source in origin.sources)
        self.BurnedInAnnotation = "NO" if clean else "YES"
        self.DocumentTitle = f"{TITLE}. {DISCLAIMER}"
        self.ConceptNameCodeSequence = [code_item(codes.DCM.ImagingMeasurementReport)]
        self.SourceInstanceSequence = [instance_item(source) for source in origin.sources]
        enclose(self, pdf([p.pixels for p in pictures], origin.created_locally), media_type="application/pdf")


def pdf(pages: Sequence[npt.NDArray[np.uint8]], created: datetime) -> bytes:
    """Pictures as a PDF, a page each, with the time that they were made.

    Args:
        pages: (H, W, 3) uint8 RGB each.
        created: Said in the file; the same pictures and time give the same bytes.
    """
    first, *others = (Image.fromarray(page) for page in pages)
    made: dict[str, Any] = dict.fromkeys(("creationDate", "modDate"), created.utctimetuple())
    buffer = io.BytesIO()
    first.save(
        buffer,
        "PDF",
        save_all=True,
        append_images=others,
        resolution=DOTS_PER_INCH,
        quality=JPEG_QUALITY,
        title=TITLE,
        producer="Bonecraft",
        **made,
    )
    return buffer.getvalue()
