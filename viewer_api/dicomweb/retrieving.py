"""WADO-RS (PS3.18 10.4): instances as they are kept, byte for byte; their metadata, frames, bulk data and pictures."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Request
from pydicom.dataset import Dataset
from starlette import status
from starlette.responses import JSONResponse, Response

from pipeline.dicom_json import as_json, value_at
from pipeline.dicom_pixels import stored_frame
from pipeline.dicom_read import read_stored
from pipeline.dicomweb_services import BYTES, DICOM, DICOM_JSON, INSTANCE, PICTURES, ROOT, SERIES, STUDY
from pipeline.errors import InputError
from pipeline.records import served
from pipeline.records.served import Served
from pipeline.store import Store
from viewer_api.deps import WebDep, not_found
from viewer_api.dicomweb.accepting import ANYTHING, accepted, choose
from viewer_api.dicomweb.access import ReaderDep
from viewer_api.dicomweb.addresses import base_of
from viewer_api.dicomweb.attributes import read_new
from viewer_api.dicomweb.multipart import Part, answer
from viewer_api.pictures import rendered as picture_of_frame

LITTLE_ENDIAN: Final = ("", "*", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Transfer syntaxes that uncompressed frames can be asked for in."""
PIXEL_DATA: Final = "7FE00010"

router = APIRouter(prefix=ROOT)


def instances_at(
    web: WebDep, client: ReaderDep, study: str, series: str = "", instance: str = ""
) -> tuple[Served, ...]:
    """What the address names, of the client's own.

    Raises:
        HTTPException: 404 in the same words whether there is no such thing or it is somebody else's.
    """
    if any("\0" in uid for uid in (study, series, instance)):  # PostgreSQL takes no such text
        raise not_found()
    read_new(web, client.scope, study)
    with web.database.begin() as connection:
        found = served.retrieve(connection, client.scope, study, series, instance)
    if not found:
        raise not_found()
    return found


Found = Annotated[tuple[Served, ...], Depends(instances_at)]


@router.get(STUDY)
@router.get(SERIES)
@router.get(INSTANCE)
def retrieve(request: Request, web: WebDep, found: Found) -> Response:
    """The instances, as they are kept."""
    choose(request, DICOM)
    syntaxes = {each.transfer_syntax for each in accepted(request) if each.media_type in (DICOM, ANYTHING)}
    parts = [_part(web.store, each, syntaxes) for each in found]
    return answer(parts, media_type=DICOM)


def _part(store: Store, each: Served, syntaxes: set[str]) -> Part:
    """A file as a part.

    Raises:
        HTTPException: 406: the client wants another transfer syntax than it is kept in, and no other.
    """
    with store.opened(each.blob_key) as file:
        syntax = str(read_stored(file, pixels=False).file_meta.TransferSyntaxUID)
    if syntaxes.isdisjoint({"", "*", syntax}):
        raise HTTPException(status.HTTP_406_NOT_ACCEPTABLE, f"It is kept as {syntax}: ask for that, or for *.")
    return f"{DICOM}; transfer-syntax={syntax}", store.chunks(each.blob_key)


@router.get(STUDY + "/metadata")
@router.get(SERIES + "/metadata")
@router.get(INSTANCE + "/metadata")
def metadata(request: Request, web: WebDep, found: Found) -> Response:
    """The datasets without their bulk data."""
    choose(request, DICOM_JSON, "application/json")
    base = base_of(request)
    return JSONResponse([_metadata(web.store, each, base) for each in found], media_type=DICOM_JSON)


def _metadata(store: Store, each: Served, base: str) -> dict[str, object]:
    address = f"{base}/studies/{each.study_instance_uid}/series/{each.series_instance_uid}"
    address += f"/instances/{each.sop_instance_uid}"
    with store.opened(each.blob_key) as file:
        dataset = read_stored(file)
        frames = ",".join(str(number + 1) for number in range(int(dataset.get("NumberOfFrames") or 1)))
        plain = as_json(dataset, bulk_uri=lambda path: f"{address}/bulkdata/{path}")
    if PIXEL_DATA in plain:
        plain[PIXEL_DATA] = {"vr": "OW", "BulkDataURI": f"{address}/frames/{frames}"}
    return plain


@router.get(INSTANCE + "/bulkdata/{path:path}")
def bulk_data(request: Request, web: WebDep, found: Found, path: str) -> Response:
    """A value that metadata gave the address of."""
    choose(request, BYTES)
    with web.store.opened(found[0].blob_key) as file:
        try:
            value = value_at(read_stored(file), path)
        except LookupError:
            raise not_found() from None
    return _bytes(request, [value])


@router.get(INSTANCE + "/frames/{numbers}")
def frames(request: Request, web: WebDep, found: Found, numbers: str) -> Response:
    """Frames, decoded: little endian, pixel by pixel."""
    choose(request, BYTES)
    if all(each.transfer_syntax not in LITTLE_ENDIAN for each in accepted(request)):
        raise HTTPException(status.HTTP_406_NOT_ACCEPTABLE, "Frames are given uncompressed: ask for transfer-syntax=*.")
    with web.store.opened(found[0].blob_key) as file:
        dataset = _with_pixels(read_stored(file))
    wanted = _numbers(numbers)
    if max(wanted) > int(dataset.get("NumberOfFrames") or 1):
        raise InputError("there is no such frame, or it cannot be decoded")
    values = (stored_frame(dataset, number - 1).tobytes() for number in wanted)
    first = next(values)  # before the answer begins, so that a picture that cannot be decoded is told by its status
    return _bytes(request, chain([first], values), how_many=len(wanted))


@router.get(INSTANCE + "/rendered")
@router.get(INSTANCE + "/frames/{numbers}/rendered")
def rendered(request: Request, web: WebDep, found: Found, numbers: str = "1") -> Response:
    """A picture for a screen: windowed as in the viewer, of at most 2048 pixels."""
    media_type = choose(request, *PICTURES)
    [number, *more] = _numbers(numbers)
    if more:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "Ask for one frame at a time.")
    with web.store.opened(found[0].blob_key) as file:
        dataset = _with_pixels(read_stored(file))
        return Response(picture_of_frame(dataset, number, media_type), media_type=media_type)


def _with_pixels(dataset: Dataset) -> Dataset:
    """The dataset, if there is something to see in it.

    Raises:
        HTTPException: 406: there is not.
    """
    if "PixelData" not in dataset:
        raise HTTPException(status.HTTP_406_NOT_ACCEPTABLE, "This object holds no picture: retrieve the instance.")
    return dataset


def _numbers(text: str) -> list[int]:
    """Frame numbers, from 1 on.

    Raises:
        HTTPException: 400: they are none, or one is there twice.
    """
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 10_000 for part in parts) or len(parts) > 1000:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "Frames are numbers from 1 on, separated by commas.")
    numbers = [int(part) for part in parts]
    if len(set(numbers)) < len(numbers):
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "Ask for each frame once.")
    return numbers


def _bytes(request: Request, values: Iterable[bytes], *, how_many: int = 1) -> Response:
    """Each as a part, made when its turn comes; one value alone where the client wants no multipart."""
    wants_parts = any(each.is_multipart or each.media_type == ANYTHING for each in accepted(request))
    if how_many == 1 and not wants_parts:
        [value] = values
        return Response(value, media_type=BYTES)
    return answer(((BYTES, [value]) for value in values), media_type=BYTES)
