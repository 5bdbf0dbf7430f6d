"""A radiograph in every transfer syntax that the node claims to take, sent by dcmtk, by Orthanc and by pynetdicom.

dcmtk's own programs write the files, where they can; neither dcmtk 3.6.7 nor Orthanc knows High-Throughput JPEG 2000.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID
from sqlalchemy import select

from pipeline.database import Database
from pipeline.dicom_read import read_radiograph
from pipeline.records import tables
from scp_node.contexts import TRANSFER_SYNTAXES
from tests.factories import make_dx, save
from tests.listening import RunningListener
from tests.peers import OrthancPeer
from tests.scp_node.senders import associate

Program = Callable[[str], Path]

BY_DCMTK = {
    "1.2.840.10008.1.2": ("dcmconv", "+ti"),
    "1.2.840.10008.1.2.1": ("dcmconv", "+te"),
    "1.2.840.10008.1.2.1.99": ("dcmconv", "+td"),
    "1.2.840.10008.1.2.2": ("dcmconv", "+tb"),
    "1.2.840.10008.1.2.5": ("dcmcrle",),
    "1.2.840.10008.1.2.4.50": ("dcmcjpeg", "+eb"),
    "1.2.840.10008.1.2.4.51": ("dcmcjpeg", "+ee"),
    "1.2.840.10008.1.2.4.57": ("dcmcjpeg", "+el"),
    "1.2.840.10008.1.2.4.70": ("dcmcjpeg", "+e1"),
    "1.2.840.10008.1.2.4.80": ("dcmcjpls", "+el"),
    "1.2.840.10008.1.2.4.81": ("dcmcjpls", "+en"),
}
BY_ENCODER: dict[str, Callable[[np.ndarray], bytes]] = {
    "1.2.840.10008.1.2.4.90": lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"),
    "1.2.840.10008.1.2.4.91": lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=60, codecformat="j2k"),
    "1.2.840.10008.1.2.4.201": imagecodecs.htj2k_encode,
    "1.2.840.10008.1.2.4.202": imagecodecs.htj2k_encode,
    "1.2.840.10008.1.2.4.203": imagecodecs.htj2k_encode,
}
STORESCU = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.5": "-xr",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
}
"""What makes it propose the syntax that a file is in; dcmsend proposes that of any file by itself."""
HIGH_THROUGHPUT = {syntax for syntax in TRANSFER_SYNTAXES if syntax.startswith("1.2.840.10008.1.2.4.20")}
LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91)}


@pytest.fixture
def film() -> Dataset:
    """A smooth film, as encoders for photographs expect it."""
    rows, columns = np.mgrid[0:128, 0:96]
    return make_dx(pixels=(rows * 16 + columns * 12).astype(np.uint16))


@pytest.fixture
def files(dcmtk: Program, film: Dataset, tmp_path: Path) -> dict[str, Path]:
    """The film in every syntax; each file is an instance of its own."""
    made: dict[str, Path] = {}
    for number, syntax in enumerate(TRANSFER_SYNTAXES):
        film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        source, made[syntax] = save(film, tmp_path / f"{number}.source.dcm"), tmp_path / f"{number}.dcm"
        if syntax in BY_DCMTK:
            program, *options = BY_DCMTK[syntax]
            same_instance = ["+un"] if program in ("dcmcjpeg", "dcmcjpls") else []
            command = [dcmtk(program), *options, *same_instance, source, made[syntax]]
            subprocess.run(command, check=True, timeout=60)
        else:
            dataset = dcmread(source)
            dataset.PixelData = encapsulate([BY_ENCODER[syntax](dataset.pixel_array)])
            dataset.file_meta.TransferSyntaxUID = UID(syntax)
            save(dataset, made[syntax])
    assert {str(dcmread(path).file_meta.TransferSyntaxUID): path for path in made.values()} == made
    return made


def received(database: Database, running: RunningListener, folder: Path) -> dict[str, Path]:
    """What was stored, by the transfer syntax that it came in."""
    with database.begin() as connection:
        found = connection.execute(select(tables.instances)).all()
    stored = {}
    for row in found:
        stored[row.transfer_syntax_uid] = folder / f"{row.sop_instance_uid}.stored.dcm"
        stored[row.transfer_syntax_uid].write_bytes(running.store.read(row.blob_key))
    return stored


def check_pixels(stored: dict[str, Path], film: Dataset, folder: Path) -> None:
    """What is lossless is the very film; the rest looks like it (dcmtk's baseline JPEG has 8 bits)."""
    original = read_radiograph(save(film, folder / "original.dcm")).pixels
    for syntax, path in stored.items():
        pixels = read_radiograph(path).pixels
        likeness = np.corrcoef(pixels.ravel(), original.ravel())[0, 1]
        assert likeness > 0.99 if syntax in LOSSY else np.array_equal(pixels, original), UID(syntax).name


def send_with_pynetdicom(port: int, path: Path) -> int:
    sender = associate(port, dataset := dcmread(path))
    status = sender.send_c_store(dataset).Status
    sender.release()
    return int(status)


def test_dcmtk_sends_in_every_syntax_that_it_knows_and_pynetdicom_in_the_others(
    running: RunningListener, dcmtk: Program, database: Database, files: dict[str, Path], film: Dataset, tmp_path: Path
) -> None:
    titles = ("-aet", "MODALITY", "-aec", "BONECRAFT")
    for syntax, path in files.items():
        if syntax in HIGH_THROUGHPUT:
            assert send_with_pynetdicom(running.port, path) == 0
        else:
            program = [dcmtk("storescu"), "-R", STORESCU[syntax]] if syntax in STORESCU else [dcmtk("dcmsend"), "-dn"]
            command = [*program, *titles, "127.0.0.1", str(running.port), path]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
    stored = received(database, running, tmp_path)
    assert set(stored) == set(TRANSFER_SYNTAXES)
    check_pixels(stored, film, tmp_path)


@pytest.mark.orthanc
def test_orthanc_sends_in_every_syntax_that_it_knows(
    running: RunningListener,
    orthanc: OrthancPeer,
    database: Database,
    files: dict[str, Path],
    film: Dataset,
    tmp_path: Path,
) -> None:
    node = {"AET": "BONECRAFT", "Host": "127.0.0.1", "Port": running.port, "LocalAet": "MODALITY"}
    httpx.put(f"{orthanc.url}/modalities/every-syntax", json=node).raise_for_status()
    known = {syntax: path for syntax, path in files.items() if syntax not in HIGH_THROUGHPUT}
    for path in known.values():
        taken = httpx.post(f"{orthanc.url}/instances", content=path.read_bytes(), timeout=60).raise_for_status().json()
        asked = {"Resources": [taken["ID"]], "LocalAet": "MODALITY"}
        httpx.post(f"{orthanc.url}/modalities/every-syntax/store", json=asked, timeout=60).raise_for_status()
    stored = received(database, running, tmp_path)
    assert set(stored) == set(known)
    check_pixels(stored, film, tmp_path)
