"""Uploaded files become instances: pictures are wrapped, DICOM goes as it is unless something was typed about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from pipeline.dicom_read import read_radiograph
from pipeline.dicom_typed import UploadStudy, study_of_pictures, with_typed_facts, wrap_picture, write
from pipeline.errors import InputError, Refusal
from pipeline.inbox import Incoming, accept
from pipeline.picture_read import PICTURE_SUFFIXES
from pipeline.records.users import User
from pipeline.typed_facts import TypedFacts
from viewer_api.deps import Web
from viewer_api.permissions import Permission, may

CALLING_AE_TITLE: Final = "WEB"


@dataclass(frozen=True, kw_only=True)
class UploadedFile:
    """A file that a person sent.

    Attributes:
        name: As on their disk; only ever told back to them.
        path: Where it lies now; its suffix is that of the name.
        typed: What they typed about it.
    """

    name: str
    path: Path
    typed: TypedFacts

    @property
    def is_picture(self) -> bool:
        """PNG or JPEG; everything else must be DICOM."""
        return self.path.suffix in PICTURE_SUFFIXES


@dataclass(frozen=True, kw_only=True)
class UploadProblem:
    """Why a file was not taken."""

    name: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Received:
    """What became of an upload.

    Attributes:
        studies: Those that its files went into, each once.
        problems: Files that were not taken.
    """

    studies: tuple[UUID, ...]
    problems: tuple[UploadProblem, ...]


def receive(files: Sequence[UploadedFile], *, patient_id: str, web: Web, user: User) -> Received:
    """Hand every file that can be taken to the inbox."""
    pictures = [file.path for file in files if file.is_picture]
    study = study_of_pictures(pictures, patient_id=patient_id, uploader=str(user.id), uploaded_on=web.clock().date())
    studies: list[UUID] = []
    problems: list[UploadProblem] = []
    for file in files:
        try:
            studies.append(_take(file, study, web, user))
        except (InputError, Refusal) as error:
            problems.append(UploadProblem(name=file.name, sentence=str(error).replace(file.path.name, "the file")))
    return Received(studies=tuple(dict.fromkeys(studies)), problems=tuple(problems))


def _take(file: UploadedFile, study: UploadStudy, web: Web, user: User) -> UUID:
    incoming = Incoming(
        path=_as_instance(file, study),
        institution_id=user.institution_id,
        calling_ae_title=CALLING_AE_TITLE,
        uploaded_by=user.id,
        own_studies_only=not may(user, Permission.SEE_INSTITUTION_STUDIES),
    )
    return accept(web.database, web.store, incoming, now=web.clock()).study_id


def _as_instance(file: UploadedFile, study: UploadStudy) -> Path:
    """The path of a DICOM file that says what the person said.

    Raises:
        InputError: The file cannot be decoded: nobody would ever see anything of it.
        Refusal: It is no plain radiograph.
    """
    target = file.path.with_suffix(".instance")
    if file.is_picture:
        write(wrap_picture(file.path, typed=file.typed, study=study), target)
        return target
    read_radiograph(file.path)
    if file.typed.nothing:
        return file.path
    write(with_typed_facts(file.path, file.typed), target)
    return target
