"""DICOMweb in the conformance statement (PS3.2 Annex A; PS3.18 Annex I)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus

from pipeline.dicom_json import INSTANCE_KEYWORDS, SERIES_KEYWORDS, STUDY_KEYWORDS
from pipeline.dicomweb_services import ROOT, SERVICES
from scp_node.dicomweb import BUSY
from scp_node.markdown import table
from scp_node.stow import NO_SERVICE, NOT_TAKEN, READ_BACK_PAUSES


def web_overview() -> Iterator[str]:
    """Who asks and who answers."""
    yield from table(
        ("Web service", "User agent", "Origin server"),
        (
            ("Studies, search (QIDO-RS)", "Yes", "Yes"),
            ("Studies, retrieve (WADO-RS)", "Yes", "Yes"),
            ("Studies, store (STOW-RS)", "Yes: results", "Yes: radiographs"),
        ),
    )


def web_services() -> Iterator[str]:
    """The section on DICOMweb."""
    yield "#### 4.2.4 DICOMweb"
    yield ""
    yield (
        f"The *viewer's door* is an origin server below `{ROOT}` of the viewer's address. It serves the radiographs of"
        " an institution and the newest results made from them, to programs with a token"
        " (`bonecraft tokens`; Bearer, or Basic with the token as the password) and to people who are logged in."
    )
    yield ""
    yield from table(
        ("Service", "Method", "Resource", "Media types"),
        ((each.name, each.method, f"`{each.resource}`", ", ".join(each.media_types)) for each in SERVICES),
    )
    yield (
        "Instances are given as they are kept, byte for byte: in the transfer syntax that they came in. A request for"
        " another one is answered with 406. Frames are given uncompressed, in Explicit VR Little Endian's byte order."
        " Metadata and searches are JSON; XML is not offered."
    )
    yield ""
    yield (
        "Searches match exactly, by list of UIDs or codes, by wild card, and by range of dates and times;"
        " `includefield`, `limit` and `offset` are supported, `fuzzymatching` is not. ModalitiesInStudy, and these, can"
        " be matched and are returned:"
    )
    yield ""
    levels = (("study", STUDY_KEYWORDS), ("series", SERIES_KEYWORDS), ("instance", INSTANCE_KEYWORDS))
    yield from table(("Level", "Attributes"), ((level, ", ".join(keywords)) for level, keywords in levels))
    yield (
        "What is stored goes the road of C-STORE. FailureReason is 0xC000 where a dataset cannot be parsed (it is kept"
        " in quarantine), 0xA900 where it is not of the study named in the address, 0xA700 where there is no space,"
        " 0x0124 where the study is not the person's, else 0x0110."
    )
    yield ""
    outage = sorted({int(each) for each in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, *BUSY, *NO_SERVICE)})
    yield (
        "As a user agent the *delivery* sends results by STOW-RS, one instance in a request, to peers that have a"
        " `dicomweb_url`, and reads each back by WADO-RS before it counts as delivered; what is not given back at once"
        f" is asked for {len(READ_BACK_PAUSES)} times within {sum(READ_BACK_PAUSES):g} s. FailureReason"
        f" {_codes(NOT_TAKEN)} and HTTP 415 are a kind of object that the peer does not take. Redirects and HTTP"
        f" {', '.join(map(str, outage))} in answer to a request to store are an outage, and use up no attempt."
        " Redirects are not followed."
    )
    yield ""


def _codes(reasons: Iterable[int]) -> str:
    return " and ".join(f"0x{reason:04X}" for reason in reasons)
