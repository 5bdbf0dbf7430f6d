"""QIDO-RS (PS3.18 10.6): studies, series and instances by their attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from starlette import status
from starlette.responses import JSONResponse, Response

from pipeline.dicom_json import INSTANCE_KEYWORDS, SEARCHED, SERIES_KEYWORDS, STUDY_KEYWORDS, Json, tag_of
from pipeline.dicomweb_services import DICOM_JSON, ROOT
from pipeline.records import served
from pipeline.records.served import MODALITY, Level, Match, Served
from viewer_api.deps import Web, WebDep
from viewer_api.dicomweb.access import ReaderDep
from viewer_api.dicomweb.addresses import base_of
from viewer_api.dicomweb.attributes import read_new

router = APIRouter(prefix=ROOT)

MOST: Final = 1000
"""So many at the most in one answer; `offset` leads on."""
NO_ATTRIBUTES: Final = ("limit", "offset", "fuzzymatching", "includefield", "accept")
LEVELS: Final[Mapping[Level, Sequence[str]]] = {
    "study": STUDY_KEYWORDS,
    "series": (*STUDY_KEYWORDS, *SERIES_KEYWORDS),
    "instance": SEARCHED,
}
OWN_KEYWORDS: Final[Mapping[Level, Sequence[str]]] = {
    "study": STUDY_KEYWORDS,
    "series": (*SERIES_KEYWORDS, "StudyInstanceUID"),
    "instance": (*INSTANCE_KEYWORDS, "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
}
"""What is answered without being asked for."""


@router.get("/studies")
def search_studies(request: Request, web: WebDep, client: ReaderDep) -> Response:
    """Studies."""
    return _search(request, web, client, "study")


@router.get("/series")
@router.get("/studies/{study}/series")
def search_series(request: Request, web: WebDep, client: ReaderDep, study: str = "") -> Response:
    """Series, of one study or of all."""
    return _search(request, web, client, "series", StudyInstanceUID=study)


@router.get("/instances")
@router.get("/studies/{study}/instances")
@router.get("/studies/{study}/series/{series}/instances")
def search_instances(request: Request, web: WebDep, client: ReaderDep, study: str = "", series: str = "") -> Response:
    """Instances, of one series, of one study or of all."""
    return _search(request, web, client, "instance", StudyInstanceUID=study, SeriesInstanceUID=series)


def _search(request: Request, web: Web, client: ReaderDep, level: Level, **path: str) -> Response:
    asked = request.query_params.multi_items()
    if any("\0" in value for value in (*path.values(), *(value for _, value in asked))):
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "No attribute holds a NUL character.")
    matches = [Match(tag=tag_of(keyword), any_of=(uid,)) for keyword, uid in path.items() if uid]
    matches += _matches(asked)
    limit, offset = _number(request, "limit", MOST), _number(request, "offset", 0)
    is_complete = read_new(web, client.scope)
    with web.database.begin() as connection:
        groups = served.search(
            connection, client.scope, matches, level=level, limit=min(limit, MOST) + 1, offset=offset
        )
    shown = groups[: min(limit, MOST)]
    base, fields = base_of(request), _fields(request, level)
    answer = [_answer(group, level, fields, base) for group in shown]
    headers = _warnings(
        {
            "The fuzzymatching parameter is not supported. Only literal matching has been performed.": (
                request.query_params.get("fuzzymatching") == "true"
            ),
            "There are additional results that can be requested": len(groups) > len(shown) and limit > MOST,
            "Older studies are still being read: search again": not is_complete,
        }
    )
    if not answer:
        return Response(status_code=status.HTTP_204_NO_CONTENT, headers=headers)
    return JSONResponse(answer, media_type=DICOM_JSON, headers=headers)


def _warnings(said: Mapping[str, bool]) -> dict[str, str]:
    """As PS3.18 8.3.4.4 wants them: warn-code 299."""
    told = ", ".join(f'299 Bonecraft "{sentence}"' for sentence, holds in said.items() if holds)
    return {"warning": told} if told else {}


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, f"{name} must be a whole number.")
    return int(text)


def _matches(parameters: Iterable[tuple[str, str]]) -> list[Match]:
    """What the query string wants; its values are never repeated in an answer or a log.

    Raises:
        HTTPException: 400: an attribute that cannot be searched for.
    """
    found = (_match(name, value) for name, value in parameters if name not in NO_ATTRIBUTES and value)
    return [match for match in found if match is not None]


def _match(name: str, value: str) -> Match | None:
    """None: everything matches."""
    keyword = _keyword(name)
    if keyword == "ModalitiesInStudy":
        return Match(tag=MODALITY, any_of=_values(value), somewhere_in_study=True)
    if keyword not in SEARCHED:
        known = ", ".join(("ModalitiesInStudy", *SEARCHED))
        raise HTTPException(status.HTTP_400_BAD_REQUEST, f"This attribute cannot be searched for. There are: {known}.")
    vr = dictionary_VR(tag_for_keyword(keyword) or 0)
    if vr in ("DA", "TM") and "-" in value:
        since, _, until = (part.strip() for part in value.partition("-"))
        return Match(tag=tag_of(keyword), since=since, until=until) if since or until else None
    if vr == "TM":
        return Match(tag=tag_of(keyword), since=value, until=value)
    any_of = _values(value) if vr in ("UI", "CS") else (value,)
    return Match(tag=tag_of(keyword), of_person=vr == "PN", any_of=any_of)


def _values(value: str) -> tuple[str, ...]:
    """List of values (PS3.4 C.2.2.2.2), separated by a comma or a backslash."""
    return tuple(part for part in value.replace("\\", ",").split(",") if part) or ("",)


def _keyword(name: str) -> str:
    """The keyword of `PatientID` and of `00100020` alike; empty where there is no such attribute."""
    if len(name) == 8 and all(digit in "0123456789abcdefABCDEF" for digit in name):
        return keyword_for_tag(int(name, 16))
    return name if tag_for_keyword(name) is not None else ""


def _fields(request: Request, level: Level) -> set[str]:
    """Tags of the attributes to answer: those of the level, and what `includefield` adds of the levels above."""
    asked = {name for text in request.query_params.getlist("includefield") for name in text.split(",")}
    everything = set(LEVELS[level])
    wanted = everything if "all" in asked else everything & {_keyword(name) for name in asked}
    return {tag_of(keyword) for keyword in {*OWN_KEYWORDS[level], *wanted}}


def _answer(group: Sequence[Served], level: Level, fields: set[str], base: str) -> Json:
    """One study, series or instance."""
    first = group[0]
    plain: Json = {tag: value for tag, value in first.attributes.items() if tag in fields}
    address = f"{base}/studies/{first.study_instance_uid}"
    if level == "study":
        modalities = sorted({_modality(each) for each in group} - {""})
        plain[tag_of("ModalitiesInStudy")] = {"vr": "CS", "Value": modalities}
        series = len({each.series_instance_uid for each in group})
        plain[tag_of("NumberOfStudyRelatedSeries")] = {"vr": "IS", "Value": [series]}
        plain[tag_of("NumberOfStudyRelatedInstances")] = {"vr": "IS", "Value": [len(group)]}
    else:
        address += f"/series/{first.series_instance_uid}"
    if level == "series":
        plain[tag_of("NumberOfSeriesRelatedInstances")] = {"vr": "IS", "Value": [len(group)]}
    if level == "instance":
        address += f"/instances/{first.sop_instance_uid}"
    plain[tag_of("InstanceAvailability")] = {"vr": "CS", "Value": ["ONLINE"]}
    plain[tag_of("RetrieveURL")] = {"vr": "UR", "Value": [address]}
    return dict(sorted(plain.items()))


def _modality(each: Served) -> str:
    values: list[Any] = each.attributes.get(MODALITY, {}).get("Value") or [""]
    return str(values[0])
