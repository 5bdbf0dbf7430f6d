"""Uploads: a look at a file before anything is stored, then the files, on the road of every other instance."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from fastapi import APIRouter, File, Form, HTTPException, UploadFile
from pydantic import BaseModel, Field, ValidationError
from starlette import status

from pipeline.dicom_read import read_header, read_radiograph
from pipeline.radiograph import Radiograph, Side, View
from pipeline.scratch import scratch_folder, working_folder
from pipeline.typed_facts import TypedFacts
from viewer_api.deps import UploaderDep, WebDep
from viewer_api.pictures import picture_of
from viewer_api.receiving import Received, UploadedFile, receive

router = APIRouter(prefix="/api/uploads")

MOST_FILES: Final = 20
MOST_FACTS_CHARACTERS: Final = 20_000


class FactsOfOne(BaseModel):
    """What was typed about one file; empty where nothing was."""

    view: View | Literal[""] = ""
    side: Side | Literal[""] = ""
    body_part: Annotated[str, Field(max_length=16, pattern=r"^[A-Z0-9 _]*$")] = ""
    pixel_spacing_mm: Annotated[float | None, Field(gt=0)] = None

    def typed(self) -> TypedFacts:
        """As the house knows it.

        Raises:
            InputError: The spacing is not plausible.
        """
        return TypedFacts(
            pixel_spacing_mm=self.pixel_spacing_mm,
            body_part=self.body_part or None,
            view=self.view or None,
            side=self.side or None,
        )


class Description(BaseModel):
    """What was typed about an upload: about the pictures' patient, and about each file in the files' order."""

    patient_id: Annotated[str, Field(max_length=64, pattern=r"^[^\\\x00-\x1f]*$")] = ""
    facts: list[FactsOfOne]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A DICOM file as a person should see it before sending it."""

    rows: int
    columns: int
    modality: str
    view: str
    side: str
    body_part: str
    scale: str
    notes: tuple[str, ...]
    picture: str


@router.post("/preview")
def preview(file: UploadFile, web: WebDep, _user: UploaderDep) -> Preview:
    """What a DICOM file shows and says. Nothing of it is kept."""
    with working_folder(scratch_folder(web.settings), prefix="web-") as folder:
        path = _save(file, folder / "preview.dcm")
        return _preview(read_radiograph(path), modality=str(read_header(path).get("Modality") or ""))


@router.post("", status_code=status.HTTP_201_CREATED)
def upload(
    files: Annotated[list[UploadFile], File(max_length=MOST_FILES)],
    description: Annotated[str, Form(max_length=MOST_FACTS_CHARACTERS)],
    web: WebDep,
    user: UploaderDep,
) -> Received:
    """Store the files; the reconstruction starts by itself. Files that cannot be taken are named with the reason."""
    typed = _description(description)
    if len(typed.facts) != len(files):
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "Each file needs an entry in the description.")
    with working_folder(scratch_folder(web.settings), prefix="web-") as folder:
        saved = [
            UploadedFile(
                name=Path(file.filename or "").name or f"file {number}",
                path=_save(file, folder / f"{number}{Path(file.filename or '').suffix.lower()[:5]}"),
                typed=facts.typed(),
            )
            for number, (file, facts) in enumerate(zip(files, typed.facts, strict=True), start=1)
        ]
        return receive(saved, patient_id=typed.patient_id, web=web, user=user)


def _description(text: str) -> Description:
    try:
        return Description.model_validate_json(text)
    except ValidationError as error:
        entries = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, f"Missing or wrong: {entries}.") from error


def _save(file: UploadFile, path: Path) -> Path:
    with path.open("xb") as target:
        shutil.copyfileobj(file.file, target)
    return path


def _preview(radiograph: Radiograph, *, modality: str) -> Preview:
    rows, columns = radiograph.pixels.shape
    return Preview(
        rows=rows,
        columns=columns,
        modality=modality,
        view=radiograph.view or "",
        side={None: "", Side.LEFT: "left", Side.RIGHT: "right"}[radiograph.side],
        body_part=radiograph.body_part or "",
        scale=_scale(radiograph),
        notes=radiograph.notes,
        picture=f"data:image/png;base64,{base64.b64encode(picture_of(radiograph)).decode()}",
    )


def _scale(radiograph: Radiograph) -> str:
    acquisition = radiograph.acquisition
    if acquisition.pixel_spacing and acquisition.pixel_spacing_calibrated:
        return f"{acquisition.pixel_spacing[0]:.3f}, calibrated"
    spacing = acquisition.imager_pixel_spacing or acquisition.pixel_spacing
    return f"{spacing[0]:.3f} at the detector" if spacing else ""
