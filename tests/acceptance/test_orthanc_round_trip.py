"""What we write goes through a real archive unchanged, by every way in and out that hospitals use."""

import io
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import pytest
from dicomweb_client import DICOMwebClient
from orthanc_api_client import OrthancApiClient
from pydicom import dcmread
from pydicom.dataset import Dataset

from pipeline.results import FileKind, ResultFile
from tests.dicom_write.example import header_of
from tests.dicom_write.test_overlays import overlays
from tests.dicom_write.test_refusal import refuse
from tests.factories import make_bone, make_dx, save, stable_uid
from tests.peers import OrthancPeer, free_port

STUDY = "Orthanc round trip"
STUDY_UID = stable_uid(STUDY, "study")
PATIENT_NAME, CHARACTER_SET = "Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]
PREAMBLE_AND_PREFIX = 132
GROUP_LENGTH_ELEMENT = 12
PROGRAM_SECONDS = 60

pytestmark = pytest.mark.orthanc


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A study in Orthanc: radiographs and our results."""

    archive: OrthancPeer
    folder: Path
    headers: dict[str, Dataset]
    results: tuple[ResultFile, ...]

    def written(self, result: ResultFile) -> bytes:
        """The dataset of a result as we wrote it."""
        return without_file_meta((self.folder / result.path).read_bytes())


def without_file_meta(content: bytes) -> bytes:
    """A DICOM file's dataset: what is behind preamble and File Meta Information (PS3.10 7.1)."""
    length_at = PREAMBLE_AND_PREFIX + GROUP_LENGTH_ELEMENT - 4
    length = int.from_bytes(content[length_at : length_at + 4], "little")
    return content[PREAMBLE_AND_PREFIX + GROUP_LENGTH_ELEMENT + length :]


def run(*command: object, folder: Path) -> None:
    """Run a program in a folder: dcmtk's movescu writes bit-preserved files into the one it runs in, not into -od."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=PROGRAM_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


def store(archive: OrthancPeer, storescu: Path, paths: list[Path]) -> None:
    """C-STORE by dcmtk; -R proposes the files' own SOP classes, without it dcmtk refuses Surface Segmentations."""
    run(storescu, "-R", "-aec", archive.ae_title, archive.host, archive.dicom_port, *paths, folder=paths[0].parent)


def everything(folder: Path, headers: dict[str, Dataset]) -> tuple[ResultFile, ...]:
    """All kinds of results, also those that are optional, and what a refused study gets."""
    bones = ((make_bone(around=64, along=200),),)
    return (*overlays(folder, sources=headers, frames=bones), *refuse(folder, sources=headers))


@pytest.fixture(scope="module")
def sent(orthanc: OrthancPeer, dcmtk: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Sent:
    folder = tmp_path_factory.mktemp("study")
    views = [
        make_dx(study=STUDY, view=view, patient_name=PATIENT_NAME, character_set=CHARACTER_SET)
        for view in ("AP", "LATERAL")
    ]
    radiographs = [save(dataset, folder / f"{number}.dcm") for number, dataset in enumerate(views)]
    store(orthanc, dcmtk("storescu"), radiographs)
    headers = {dataset.SOPInstanceUID: header_of(dataset) for dataset in views}
    results = everything(folder, headers)
    store(orthanc, dcmtk("storescu"), [folder / result.path for result in results])
    return Sent(archive=orthanc, folder=folder, headers=headers, results=results)


def datasets_in(folder: Path) -> dict[str, bytes]:
    """Datasets by SOPInstanceUID, as they lie in a folder's files."""
    contents = [path.read_bytes() for path in folder.iterdir()]
    return {
        dcmread(io.BytesIO(content), stop_before_pixels=True).SOPInstanceUID: without_file_meta(content)
        for content in contents
    }


def assert_unchanged(sent: Sent, received: dict[str, bytes], *, but: Collection[FileKind] = ()) -> None:
    for result in sent.results:
        if result.kind in but:
            continue
        assert received[result.sop_instance_uid] == sent.written(result), result.path


def identifiers_in(archive: OrthancPeer) -> tuple[set[str], set[str]]:
    """SeriesInstanceUIDs and SOPInstanceUIDs of the study, as orthanc-api-client lists them."""
    client = OrthancApiClient(archive.url)
    study = client.studies.lookup(STUDY_UID)
    series = {client.series.get_tags(one)["SeriesInstanceUID"] for one in client.studies.get_series_ids(study)}
    instances = {client.instances.get_tags(one)["SOPInstanceUID"] for one in client.studies.get_instances_ids(study)}
    return series, instances


def test_everything_is_in_the_radiographs_own_study(sent):
    series, instances = identifiers_in(sent.archive)
    assert instances == set(sent.headers) | {result.sop_instance_uid for result in sent.results}
    ours = {result.series_instance_uid for result in sent.results}
    assert series == ours | {header.SeriesInstanceUID for header in sent.headers.values()}


def test_c_move_gives_back_the_same_dataset(sent, dcmtk, tmp_path):
    port = free_port()
    sent.archive.add_modality("round-trip", ae_title="ROUNDTRIP", port=port)
    run(
        dcmtk("movescu"),
        *("-S", "+B", "-aet", "ROUNDTRIP", "-aem", "ROUNDTRIP", "-aec", sent.archive.ae_title),
        *("--port", port, "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY_UID}"),
        *(sent.archive.host, sent.archive.dicom_port),
        folder=tmp_path,
    )
    assert_unchanged(sent, datasets_in(tmp_path))


def test_c_get_gives_back_the_same_dataset(sent, dcmtk, tmp_path):
    """Series by series: getscu proposes no encapsulated models, and Orthanc then gives up a request that holds one."""
    models = {FileKind.ENCAPSULATED_STL, FileKind.ENCAPSULATED_OBJ}
    known = {result.series_instance_uid for result in sent.results if result.kind not in models}
    for series in known:
        run(
            dcmtk("getscu"),
            *("-S", "+B", "-aet", "ROUNDTRIP", "-aec", sent.archive.ae_title, "-od", tmp_path),
            *("-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={STUDY_UID}"),
            *("-k", f"SeriesInstanceUID={series}", sent.archive.host, sent.archive.dicom_port),
            folder=tmp_path,
        )
    assert_unchanged(sent, datasets_in(tmp_path), but=models)


def test_wado_rs_gives_back_the_same_dataset(sent):
    client = DICOMwebClient(url=sent.archive.dicomweb_url)
    for result in sent.results:
        received = client.retrieve_instance(STUDY_UID, result.series_instance_uid, result.sop_instance_uid)
        buffer = io.BytesIO()
        received.save_as(buffer, enforce_file_format=True)
        assert without_file_meta(buffer.getvalue()) == sent.written(result)


def test_reconstructing_and_sending_again_makes_no_second_series(sent, dcmtk, tmp_path):
    before = identifiers_in(sent.archive)
    again = everything(tmp_path, sent.headers)
    store(sent.archive, dcmtk("storescu"), [tmp_path / result.path for result in again])
    assert identifiers_in(sent.archive) == before
