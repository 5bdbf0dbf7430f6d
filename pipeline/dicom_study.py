"""The files of one study as radiographs, with the headers that results are written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from pipeline.dicom_read import lenient, read_header, read_radiograph
from pipeline.dicom_write import recognise_own
from pipeline.errors import InputError, Refusal
from pipeline.picture_read import PICTURE_SUFFIXES, read_picture
from pipeline.radiograph import Radiograph
from pipeline.typed_facts import TypedFacts


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyInput:
    """What the files of a study hold.

    Attributes:
        radiographs: In the order of their identifiers, whatever the order of the files.
        headers: Identifier to header, of those that came as DICOM.
        warnings: What was left out, in sentences.
    """

    radiographs: tuple[Radiograph, ...]
    headers: Mapping[str, Dataset]
    warnings: tuple[str, ...]


def read_study(paths: Sequence[Path], typed: Sequence[TypedFacts] = ()) -> StudyInput:
    """Read the radiographs among files and folders.

    Bonecraft's own results, and whatever in a folder is not an image, are passed over.

    Args:
        paths: Files and folders.
        typed: Nothing; or one for all files; or one for each file, in their order.

    Raises:
        InputError: A file is unreadable, the files belong to different studies, or none is an image.
        Refusal: There are images, but no plain radiograph among them.
    """
    files = list(_files(paths))
    found: dict[str, tuple[Radiograph, Dataset | None]] = {}
    warnings: list[str] = []
    refusals: list[Refusal] = []
    for file, fact in zip(files, _facts_for(files, typed), strict=True):
        try:
            read = _read(file)
        except Refusal as refusal:
            refusals.append(refusal)
            continue
        if read is not None and read[0].identifier in found:
            warnings.append("A picture was given twice; the first was used.")
        elif read is not None:
            found[read[0].identifier] = (fact.apply(read[0]), read[1])
    headers = {identifier: header for identifier, (_, header) in found.items() if header is not None}
    _check_same_study(list(headers.values()))
    if not found:
        raise refusals[0] if refusals else InputError("none of the files is a radiograph; give DICOM, PNG or JPEG")
    warnings += [f"One file was left out: {refusal.sentence}" for refusal in refusals]
    ordered = tuple(found[identifier][0] for identifier in sorted(found))
    return StudyInput(radiographs=ordered, headers=headers, warnings=tuple(warnings))


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file, and whether somebody named it: in a folder, what is no image may lie beside images."""

    path: Path
    named: bool


def _files(paths: Sequence[Path]) -> Iterator[_File]:
    for path in paths:
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.is_file())
            yield from (_File(path=p, named=False) for p in inside if not p.name.startswith("."))
        elif path.is_file():
            yield _File(path=path, named=True)
        else:
            raise InputError(f"{path.name} does not exist; give files or folders")


def _facts_for(files: Sequence[_File], typed: Sequence[TypedFacts]) -> list[TypedFacts]:
    if len(typed) <= 1:
        return [typed[0] if typed else TypedFacts()] * len(files)
    if len(typed) != len(files):
        raise InputError(f"{len(typed)} values were given for {len(files)} files; give one for all or one for each")
    return list(typed)


def _read(file: _File) -> tuple[Radiograph, Dataset | None] | None:
    """A file's radiograph and, of a DICOM file, its header; None for what is to be passed over."""
    if file.path.suffix.lower() in PICTURE_SUFFIXES:
        return read_picture(file.path), None
    header = _image_header(file)
    return None if header is None else (read_radiograph(file.path), header)


def _image_header(file: _File) -> Dataset | None:
    """The header of a DICOM image that is not our own result."""
    try:
        header = read_header(file.path)
    except InputError:
        if file.named:
            raise
        return None
    with lenient():
        return header if "Rows" in header and not recognise_own(header) else None


def _check_same_study(headers: Sequence[Dataset]) -> None:
    """Two studies, or two patients, must never become one bone."""
    for keyword, what in (("StudyInstanceUID", "studies"), ("PatientID", "patients")):
        with lenient():
            values = {str(header.get(keyword) or "") for header in headers} - {""}
        if len(values) > 1:
            raise InputError(f"the files belong to {len(values)} different {what}; give those of one study")
