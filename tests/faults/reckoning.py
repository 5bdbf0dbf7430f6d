"""The reckoning: what the senders' logs say was acknowledged, against what the node and Orthanc hold at the end."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import SurfaceSegmentationStorage

from tests.faults.modalities import Sent
from tests.node_process import RunningNode
from tests.peers import OrthancPeer

HTTP_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Account:
    """What came of it all.

    Attributes:
        acknowledged: How many instances the senders were told to be stored.
        results: How many results Orthanc holds of what they sent.
        lost: What is missing, in words.
        duplicated: What is there more than once, in words.
        chain: What `bonecraft prove --all` says.
    """

    acknowledged: int
    results: int
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    chain: str


@dataclass(frozen=True, kw_only=True)
class Head:
    """The end of the ledger's chain at some time."""

    number: int
    digest: str


FIRST_HEAD = Head(number=0, digest="")


def reckon(node: RunningNode, pacs: OrthancPeer, acknowledged: Mapping[str, Sent]) -> Account:
    """Count what was lost and what is there twice.

    Lost is an acknowledged instance without its entry in the ledger, or whose pixels the node does not hold any more
    as they were sent; and an acknowledged film that no Surface Segmentation in Orthanc names.
    """
    held = {study: _results_in(pacs, study) for study in sorted({s.study for s in acknowledged.values() if s.is_film})}
    named = {uid for results in held.values() for result in results if _is_surface(result) for uid in _named_by(result)}
    no_result = [f"no result of {s.uid}" for s in acknowledged.values() if s.is_film and s.uid not in named]
    return Account(
        acknowledged=len(acknowledged),
        results=sum(map(len, held.values())),
        lost=(*not_held(acknowledged.values(), _received(node), node.data / "blobs"), *no_result),
        duplicated=tuple(words for results in held.values() for words in twice(results)),
        chain=prove_all(node),
    )


def prove_all(node: RunningNode) -> str:
    """What `bonecraft prove --all` says of the chain.

    Raises:
        SystemExit: The chain is broken.
    """
    command = [sys.executable, "-m", "pipeline.cli", "prove", "--all", "--json", "--config", str(node.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bonecraft prove --all: {done.stdout or done.stderr}")
    return f"{json.loads(done.stdout)['sealed']} entries in an unbroken chain"


def head_of(node: RunningNode) -> Head:
    """Number and digest of the chain's last entry, as `bonecraft prove --all` prints them."""
    rows = node.query("SELECT number, digest FROM ledger_seals ORDER BY number DESC LIMIT 1")
    return Head(number=int(str(rows[0]["number"])), digest=str(rows[0]["digest"])) if rows else FIRST_HEAD


def not_led_through(node: RunningNode, heads: Iterable[Head]) -> tuple[str, ...]:
    """Heads of the chain, noted in the course, that it does not lead through any more."""
    chain = {row["number"]: row["digest"] for row in node.query("SELECT number, digest FROM ledger_seals")}
    chain[FIRST_HEAD.number] = FIRST_HEAD.digest
    return tuple(
        f"no entry {head.number} of the ledger as it was" for head in heads if chain.get(head.number) != head.digest
    )


def _received(node: RunningNode) -> dict[str, str]:
    """The blob of each instance that the ledger says was received with just those bytes, by its UID."""
    rows = node.query(
        "SELECT i.sop_instance_uid AS uid, i.blob_key AS key FROM instances i WHERE EXISTS"
        " (SELECT FROM ledger l WHERE l.sop_instance_uid = i.sop_instance_uid AND l.event = 'received'"
        " AND l.facts->>'digest' = i.digest)"
    )
    return {str(row["uid"]): str(row["key"]) for row in rows}


def not_held(acknowledged: Iterable[Sent], received: Mapping[str, str], blobs: Path) -> Iterator[str]:
    """What was acknowledged but is not there, or not as it was sent.

    Args:
        acknowledged: What senders were told to be stored.
        received: Where each instance lies, by its UID.
        blobs: The folder of all blobs.
    """
    for sent in acknowledged:
        if sent.uid not in received:
            yield f"no instance {sent.uid}"
        elif _pixels(blobs / received[sent.uid]) != sent.pixels:
            yield f"not the bytes of {sent.uid}"


def _pixels(blob: Path) -> str:
    """SHA-256 of the PixelData of a blob; empty where it is not there, or not what its name says."""
    try:
        content = blob.read_bytes()
    except FileNotFoundError:
        return ""
    if hashlib.sha256(content).hexdigest() != blob.name:
        return ""
    return hashlib.sha256(dcmread(BytesIO(content)).PixelData).hexdigest()


def _results_in(pacs: OrthancPeer, study: str) -> list[Dataset]:
    """Everything that Orthanc holds of a study: it never gets the films themselves."""
    with httpx.Client(base_url=pacs.url, timeout=HTTP_SECONDS) as client:
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study}}
        found = client.post("/tools/find", json=query).raise_for_status().json()
        files = [client.get(f"/instances/{instance}/file").raise_for_status().content for instance in found]
    return [dcmread(BytesIO(file), stop_before_pixels=True) for file in files]


def _is_surface(result: Dataset) -> bool:
    return bool(result.SOPClassUID == SurfaceSegmentationStorage)


def _named_by(result: Dataset) -> frozenset[str]:
    """The instances that a result refers to."""
    return frozenset(
        str(element.value) for element in result.iterall() if element.keyword == "ReferencedSOPInstanceUID"
    )


def _series(result: Dataset) -> str:
    """Which series it is: a second result of the same images says what it replaces, and is the same series again."""
    return str(result.get("SeriesDescription", "")).partition(", replaces ")[0]


def twice(results: list[Dataset]) -> Iterator[str]:
    """Results that show the same of the same images."""
    shown = Counter((str(r.SOPClassUID), _named_by(r), _series(r), str(r.get("InstanceNumber", ""))) for r in results)
    for (sop_class, _, series, number), count in shown.items():
        if count > 1:
            yield f"{count} × {sop_class} {series} {number} in {results[0].StudyInstanceUID}"
