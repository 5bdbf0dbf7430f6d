"""What a reconstruction was made from: what its objects say of themselves, and what their UIDs derive from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DA, DT, TM

from pipeline.dicom_write.inputs import WriteSettings
from pipeline.dicom_write.source_study import copy_elements, copy_patient_and_study
from pipeline.dicom_write.uids import MANUFACTURER, MODEL_NAME, derive_uid
from pipeline.errors import InputError
from pipeline.radiograph import Scale, ScaleProvenance
from pipeline.results import ModelVersion
from pipeline.surface import BoneSurface

SCALE_WORDS: Final = {
    ScaleProvenance.CALIBRATED: "calibrated spacing",
    ScaleProvenance.MAGNIFICATION_FACTOR: "magnification tag",
    ScaleProvenance.SOURCE_DISTANCES: "source distances",
    ScaleProvenance.USER: "typed by user",
    ScaleProvenance.TYPICAL_MAGNIFICATION: "typical magnif.",
    ScaleProvenance.NONE: "unknown",
}
"""The scale's provenance in at most 18 letters: ContentDescription (0070,0081) holds 64 in all."""

IDENTIFIERS: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
"""What a result must be able to say of its sources, type 1 in every image."""

REPEATED: Final = (
    *IDENTIFIERS,
    *("PatientOrientation", "BurnedInAnnotation", "PhotometricInterpretation"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
    *("RescaleIntercept", "RescaleSlope", "RescaleType", "WindowCenter", "WindowWidth", "VOILUTFunction"),
)
"""What some result says again of a radiograph, beside patient and study; its LUTs are in the pixels as shown."""

LONGEST_LO: Final = 64
"""PS3.5 6.2."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Origin:
    """The inputs of one reconstruction.

    Attributes:
        sources: The radiographs' headers, in the order of their SOPInstanceUIDs; all of one study.
        digests: Of what the reconstruction saw, `Radiograph.digest` of every picture of the study.
        models: What took part.
        scale: Where the size in mm came from.
        software_version: Of Bonecraft.
        created: When the reconstruction was made, with its time zone.
        settings: What else decides the content.

    Raises:
        InputError: A source lacks an identifier, or they belong to several studies.
    """

    sources: tuple[Dataset, ...]
    digests: tuple[str, ...]
    models: tuple[ModelVersion, ...]
    scale: Scale
    software_version: str
    created: datetime
    settings: WriteSettings

    def __post_init__(self) -> None:
        for keyword in IDENTIFIERS:
            if not all(source.get(keyword) for source in self.sources):
                raise InputError(f"A radiograph has no {keyword}: send it again from an archive that assigns one.")
        if len({str(source.StudyInstanceUID) for source in self.sources}) != 1:
            raise InputError("The radiographs belong to several studies: reconstruct one study at a time.")
        ordered = tuple(sorted(self.sources, key=lambda source: str(source.SOPInstanceUID)))
        object.__setattr__(self, "sources", ordered)

    def uid(self, kind: str) -> str:
        """The UID of one of the objects made from these inputs; the same inputs give the same UID."""
        return derive_uid(
            kind,
            [
                self.software_version,
                *sorted(self.digests),
                *sorted(model.sha256 for model in self.models),
                self.scale.provenance,
                *sorted(self.settings.choices),
                *(f"replaces={uid}" for uid in self.settings.replaces),
                self.copied_digest,
            ],
        )

    @cached_property
    def copied_digest(self) -> str:
        """SHA-256 of the patient, study and radiographs as objects repeat them: corrected data make other objects."""
        copied = Dataset()
        copy_patient_and_study(self.sources[0], copied)
        digest = hashlib.sha256(_encoded(copied))
        for source in self.sources:
            repeated = Dataset()
            copy_elements(source, repeated, REPEATED)
            digest.update(_encoded(repeated))
        return digest.hexdigest()

    def tracking_uid(self, surface: BoneSurface) -> str:
        """What tells a bone in all objects of a result."""
        return self.uid(f"tracking/{surface.name}")

    @property
    def created_locally(self) -> datetime:
        """`created` as the study's own clocks have it."""
        return in_time_zone_of(self.sources[0], self.created)

    @property
    def software_versions(self) -> list[str]:
        """SoftwareVersions (0018,1020): ours, then each model's; at most 64 characters each."""
        models = (f"{model.name} {model.version} {model.sha256[:12]}"[:64] for model in self.models)
        return [f"bonecraft {self.software_version}", *models]

    @property
    def device_serial_number(self) -> str:
        """DeviceSerialNumber (0018,1000), type 1 here: for a program, what it was built from."""
        digests = "".join(sorted(model.sha256 for model in self.models))
        return hashlib.sha256(f"{self.software_version}{digests}".encode()).hexdigest()[:16]

    def stamp(self, target: Dataset) -> None:
        """Give a new object the source's patient and study, our equipment, when it was made and what it replaces."""
        copy_patient_and_study(self.sources[0], target)
        target.Manufacturer, target.ManufacturerModelName = MANUFACTURER, MODEL_NAME
        target.DeviceSerialNumber = self.device_serial_number
        target.SoftwareVersions = self.software_versions
        target.SeriesDescription = self._with_what_it_replaces(target.SeriesDescription)
        made = self.created_locally
        set_made(target, made)
        for contribution in target.get("ContributingEquipmentSequence", ()):  # highdicom names itself, with the time
            contribution.ContributionDateTime = DT(made.replace(microsecond=0))

    def _with_what_it_replaces(self, description: str) -> str:
        """Many archives ignore rejection notes: the new series itself says what it replaces."""
        if not self.settings.replaces:
            return description
        suffix = f", replaces {self.settings.replaces_made}"
        return f"{description[: LONGEST_LO - len(suffix)]}{suffix}"

    def scale_sentence(self) -> str:
        """The scale's provenance and doubt in words, ASCII."""
        if not self.scale.known:
            return "scale unknown, shape only"
        return f"{self.scale.provenance}, +-{100 * self.scale.relative_uncertainty:.1f} % (1 SD)"


def _encoded(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def in_time_zone_of(source: Dataset, moment: datetime) -> datetime:
    """A moment in the study's own time zone (0008,0201), or in this machine's where the study names none.

    What copies the study's offset has to give its own times with it (PS3.3 C.12.1.1.8).
    """
    return moment.astimezone(_time_zone(str(source.get("TimezoneOffsetFromUTC") or "")))


def set_made(target: Dataset, made: datetime) -> None:
    """Say when an object, its series and its content were made: all at once."""
    for moment in ("Series", "Content", "InstanceCreation"):
        setattr(target, f"{moment}Date", DA(made.date()))
        setattr(target, f"{moment}Time", TM(made.time().replace(microsecond=0)))


def _time_zone(offset: str) -> timezone | None:
    """TimezoneOffsetFromUTC (0008,0201), `+0900`, as a time zone; None where it is absent or nonsense."""
    match = re.fullmatch(r"([+-])(0\d|1[0-4])([0-5]\d)", offset.strip())
    if match is None:
        return None
    shift = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-shift if match[1] == "-" else shift)


def instance_item(source: Dataset) -> Dataset:
    """A reference to an instance (PS3.3 table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item


def series_items(sources: Iterable[Dataset]) -> Sequence:
    """ReferencedSeriesSequence of the Common Instance Reference module (PS3.3 C.12.2), a series once each."""
    series: dict[str, Dataset] = {}
    for source in sources:
        item = series.setdefault(str(source.SeriesInstanceUID), Dataset())
        item.SeriesInstanceUID = source.SeriesInstanceUID
        item.ReferencedInstanceSequence = [*item.get("ReferencedInstanceSequence", ()), instance_item(source)]
    return Sequence(series.values())
