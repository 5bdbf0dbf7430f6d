"""A modality sends two views; the 3D bone appears in the PACS, in the same study.

Everything is real: dcmtk sends and asks, the node is `bonecraft serve` with its PostgreSQL, the PACS is Orthanc.
"""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from dicomweb_client import DICOMwebClient
from orthanc_api_client import OrthancApiClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedSTLStorage,
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    SurfaceSegmentationStorage,
)

from pipeline.cli.sample import sample_folder
from pipeline.dicom_renew import renew_study
from tests.node_process import MODALITY, MODALITY_AE_TITLE, NODE_AE_TITLE, NodePeer, RunningNode, running_node
from tests.peers import OrthancPeer, running_orthanc
from tests.scoring import Truth, mean_distance_mm, mesh_of

RESULTS = 14
"""Surfaces, two radiographs with outlines, turntable, six renderings, measurements twice, key objects and STL."""
LARGEST_ERROR_MM = 2.0

pytestmark = pytest.mark.orthanc


@dataclass(frozen=True, kw_only=True)
class Road:
    """The whole road, travelled once."""

    node: RunningNode
    orthanc: OrthancPeer
    radiographs: list[Path]
    study_uid: str

    def delivered(self) -> list[dict[str, object]]:
        """The node's deliveries that Orthanc has confirmed."""
        return self.node.query("SELECT * FROM deliveries WHERE state = 'delivered'")


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory, dcmtk: Callable[[str], Path]) -> Iterator[Road]:
    """Two views were sent, and the node has delivered what it made of them."""
    folder = tmp_path_factory.mktemp("road")
    radiographs, study_uid = renew_study(sorted(sample_folder().glob("*.dcm")), folder / "sent")
    with running_orthanc(folder, ae_title="PACS") as orthanc:
        pacs = NodePeer(ae_title="PACS", port=orthanc.dicom_port, sends=True, receives=True)
        with running_node(MODALITY, pacs) as node:
            orthanc.add_modality("bonecraft", ae_title=NODE_AE_TITLE, port=node.dicom_port)  # to report commitment
            road = Road(node=node, orthanc=orthanc, radiographs=radiographs, study_uid=study_uid)
            send(dcmtk("storescu"), node, radiographs)
            node.wait_until(lambda: len(road.delivered()) == RESULTS)
            yield road


def send(storescu: Path, node: RunningNode, files: list[Path]) -> None:
    command = [
        storescu,
        "-R",
        "-xr",
        "-aet",
        MODALITY_AE_TITLE,
        "-aec",
        NODE_AE_TITLE,
        "127.0.0.1",
        str(node.dicom_port),
    ]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def found(road: Road, dcmtk: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """What C-FIND says of the study's instances in Orthanc."""
    folder = tmp_path_factory.mktemp("found")
    keys = ("QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={road.study_uid}", "SOPClassUID", "SOPInstanceUID")
    keys = (*keys, "SeriesInstanceUID")
    command = [dcmtk("findscu"), "-S", "-X", "-od", folder, "-aec", road.orthanc.ae_title]
    for key in keys:
        command += ["-k", key]
    subprocess.run([*command, "127.0.0.1", str(road.orthanc.dicom_port)], check=True, timeout=60, capture_output=True)
    return [dcmread(path, force=True) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def segmentation(road: Road, found: list[Dataset]) -> Dataset:
    """The Surface Segmentation, fetched from Orthanc by WADO-RS."""
    (surface,) = [instance for instance in found if instance.SOPClassUID == SurfaceSegmentationStorage]
    client = DICOMwebClient(url=road.orthanc.dicomweb_url)
    fetched = client.retrieve_instance(
        study_instance_uid=road.study_uid,
        series_instance_uid=surface.SeriesInstanceUID,
        sop_instance_uid=surface.SOPInstanceUID,
    )
    buffer = BytesIO()
    fetched.save_as(buffer)
    return dcmread(BytesIO(buffer.getvalue()))


def test_c_find_finds_every_kind_of_result_in_the_same_study(found: list[Dataset]) -> None:
    """The pictures are two radiographs with outlines, six renderings and a page with the measurements."""
    assert Counter(instance.SOPClassUID for instance in found) == {
        SurfaceSegmentationStorage: 1,
        SecondaryCaptureImageStorage: 9,
        MultiFrameTrueColorSecondaryCaptureImageStorage: 1,
        Comprehensive3DSRStorage: 1,
        KeyObjectSelectionDocumentStorage: 1,
        EncapsulatedSTLStorage: 1,
    }


def test_orthanc_lists_the_study_with_the_results(road: Road) -> None:
    client = OrthancApiClient(road.orthanc.url)
    study = client.studies.lookup(road.study_uid)
    assert study is not None
    modalities = sorted(client.series.get_tags(series)["Modality"] for series in client.studies.get_series_ids(study))
    assert modalities == ["KO", "M3D", *["OT"] * 4, "SEG", "SR"]


def test_the_surface_belongs_to_the_patient_and_refers_to_the_radiographs(road: Road, segmentation: Dataset) -> None:
    sources = [dcmread(path, stop_before_pixels=True) for path in road.radiographs]
    assert {segmentation.PatientID} == {source.PatientID for source in sources}
    assert {segmentation.StudyInstanceUID} == {source.StudyInstanceUID for source in sources}
    referred = {
        item.ReferencedSOPInstanceUID
        for series in segmentation.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    }
    assert referred == {source.SOPInstanceUID for source in sources}


def test_the_femur_is_within_two_millimetres_of_the_true_one(segmentation: Dataset) -> None:
    assert mean_distance_mm(mesh_of(segmentation), Truth.load(sample_folder())) < LARGEST_ERROR_MM


def test_meshes_left_deflated_and_everything_else_as_viewers_can_show_it(road: Road) -> None:
    sent = "SELECT l.facts->>'transfer_syntax' AS syntax, f.sop_class_uid AS kind FROM ledger l JOIN result_files f"
    sent += " ON f.sop_instance_uid = l.sop_instance_uid WHERE l.facts ? 'transfer_syntax'"
    by_syntax = {(row["kind"], row["syntax"]) for row in road.node.query(sent)}
    deflated = {kind for kind, syntax in by_syntax if syntax == DeflatedExplicitVRLittleEndian}
    assert deflated == {SurfaceSegmentationStorage, EncapsulatedSTLStorage}
    assert {syntax for kind, syntax in by_syntax if kind not in deflated} == {ExplicitVRLittleEndian}


def test_the_same_study_again_makes_nothing_new(road: Road, found: list[Dataset], dcmtk: Callable[[str], Path]) -> None:
    send(dcmtk("storescu"), road.node, road.radiographs)
    counts = "SELECT (SELECT count(*) FROM reconstructions) AS jobs, (SELECT count(*) FROM deliveries) AS deliveries"
    assert road.node.query(counts) == [{"jobs": 1, "deliveries": RESULTS}]


def test_results_that_come_back_are_acknowledged_and_go_nowhere(road: Road, found: list[Dataset]) -> None:
    road.orthanc.add_modality("bonecraft", ae_title=NODE_AE_TITLE, port=road.node.dicom_port)
    (study,) = httpx.post(f"{road.orthanc.url}/tools/lookup", content=road.study_uid).raise_for_status().json()
    sent = httpx.post(f"{road.orthanc.url}/modalities/bonecraft/store", json=study["ID"], timeout=60)
    assert sent.raise_for_status().json()["FailedInstancesCount"] == 0
    roles = road.node.query("SELECT role, count(*) FROM instances GROUP BY role ORDER BY role")
    assert roles == [{"role": "own-result", "count": RESULTS}, {"role": "radiograph", "count": 2}]
    assert road.node.query("SELECT count(*) FROM deliveries") == [{"count": RESULTS}]
