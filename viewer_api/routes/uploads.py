"""Uploads: a look at a file before anything is stored, then the files, on the road of every other instance."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field, ValidationError
from python_multipart.multipart import parse_options_header
from starlette import status
from starlette.concurrency import run_in_threadpool

from pipeline.dicom_read import read_header, read_radiograph
from pipeline.picture_read import PICTURE_SUFFIXES
from pipeline.radiograph import Radiograph, Side, View
from pipeline.scratch import scratch_folder, working_folder
from pipeline.typed_facts import TypedFacts
from viewer_api.deps import UploaderDep, Web, WebDep
from viewer_api.parts import SavedPart, check_room, save_parts
from viewer_api.pictures import picture_of
from viewer_api.receiving import Received, UploadedFile, receive

router = APIRouter(prefix="/api/uploads")

MOST_FILES: Final = 20
MOST_DESCRIPTION_BYTES: Final = 20_000


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
async def preview(request: Request, web: WebDep, _user: UploaderDep) -> Preview:
    """What a DICOM file shows and says. Nothing of it is kept."""
    with working_folder(scratch_folder(web.settings), prefix="web-") as folder:
        files = [part for part in await _form(request, folder, web) if part.field == "file"]
        if len(files) != 1:
            raise _wrong("file")
        return await run_in_threadpool(_preview, files[0].path)


@router.post("", status_code=status.HTTP_201_CREATED)
async def upload(request: Request, web: WebDep, user: UploaderDep) -> Received:
    """Store the files; the reconstruction starts by itself. Files that cannot be taken are named with the reason."""
    with working_folder(scratch_folder(web.settings), prefix="web-") as folder:
        parts = await _form(request, folder, web)
        typed = _description(parts)
        files = _files([part for part in parts if part.field == "files"], typed)
        return await run_in_threadpool(receive, files, patient_id=typed.patient_id, web=web, user=user)


async def _form(request: Request, folder: Path, web: Web) -> list[SavedPart]:
    """The fields of the form, read now that it is known who sends it.

    Raises:
        HTTPException: 503: there is no room; 422: it is no form; 400, 413: see `save_parts`.
    """
    check_room(web)
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise _wrong("the form")
    return await save_parts(request, folder, boundary=options[b"boundary"], most=MOST_FILES + 1)


def _files(parts: Sequence[SavedPart], typed: Description) -> list[UploadedFile]:
    """The files with what was typed about each.

    Raises:
        HTTPException: There is none, or not an entry for each.
        InputError: A spacing is not plausible.
    """
    if not parts:
        raise _wrong("files")
    if len(typed.facts) != len(parts):
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "Each file needs an entry in the description.")
    return [
        UploadedFile(name=part.filename or f"file {number}", path=_with_suffix(part), typed=facts.typed())
        for number, (part, facts) in enumerate(zip(parts, typed.facts, strict=True), start=1)
    ]


def _with_suffix(part: SavedPart) -> Path:
    """The file under a suffix that tells pictures from DICOM."""
    suffix = Path(part.filename).suffix.lower()
    return part.path.rename(part.path.with_suffix(suffix if suffix in PICTURE_SUFFIXES else ".dcm"))


def _description(parts: Sequence[SavedPart]) -> Description:
    """What was typed.

    Raises:
        HTTPException: It is missing, too long or wrong.
    """
    found = [part.path for part in parts if part.field == "description"]
    if len(found) != 1 or found[0].stat().st_size > MOST_DESCRIPTION_BYTES:
        raise _wrong("description")
    try:
        return Description.model_validate_json(found[0].read_bytes())
    except ValidationError as error:
        raise _wrong(", ".join(".".join(map(str, each["loc"])) for each in error.errors())) from error


def _wrong(entries: str) -> HTTPException:
    return HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, f"Missing or wrong: {entries}.")


def _preview(path: Path) -> Preview:
    radiograph = read_radiograph(path)
    rows, columns = radiograph.pixels.shape
    return Preview(
        rows=rows,
        columns=columns,
        modality=str(read_header(path).get("Modality") or ""),
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
