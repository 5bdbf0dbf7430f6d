"""`report.html`: the whole story of one reconstruction on a page that needs nothing but itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Final

from PIL import Image

from pipeline.radiograph import Side
from pipeline.results import (
    SHAPE_ONLY,
    FileKind,
    Measurement,
    Report,
    ResultFile,
    ScaleReport,
    StageReport,
    Status,
    SurfaceReport,
)
from pipeline.surface import Bone, bone_title

LONGEST_PIXELS: Final = 1400
JPEG_QUALITY: Final = 86
"""Pictures are inlined smaller than they lie in the folder, so that the page can be sent by mail."""
SMALL_BYTES: Final = 100_000
"""But for those that are smaller already: decoding takes longer than all else about the page."""

STRIP_ASPECT: Final = 2.0
PICTURES_AT_ONCE: Final = 4

DOWNLOADS: Final = (
    FileKind.SURFACE_SEGMENTATION,
    FileKind.SECONDARY_CAPTURE,
    FileKind.TURNTABLE,
    FileKind.KEY_RENDERING,
    FileKind.MEASUREMENT_PAGE,
    FileKind.MEASUREMENT_REPORT,
    FileKind.KEY_OBJECTS,
    FileKind.ENCAPSULATED_STL,
    FileKind.SURFACES_MANIFOLD_UNKNOWN,
    FileKind.PRESENTATION_STATE,
    FileKind.FILM_SEGMENTATION,
    FileKind.REPORT_DOCUMENT,
    FileKind.TURNTABLE_FRAMES,
    FileKind.ENCAPSULATED_OBJ,
    FileKind.REFUSAL_REPORT,
    FileKind.REFUSAL_PICTURE,
    FileKind.SCENE,
    FileKind.SCENE_LOW_POLY,
    FileKind.MESH,
    FileKind.MESH_LOW_POLY,
    FileKind.PRINT_PACK,
    FileKind.POINT_CLOUD,
    FileKind.DEPTH_ARRAY,
)


def report_page(report: Report, folder: Path) -> str:
    """The page.

    Args:
        report: What `report.json` says.
        folder: The result folder, with the pictures that the report names.
    """
    style = files("pipeline").joinpath("report_page.css").read_text("utf-8")
    body = "\n".join(
        filter(
            None,
            (
                _head(report),
                _banners(report),
                _facts(report),
                _proof(report, folder),
                _gallery("In three dimensions", report, folder, FileKind.NOVEL_VIEW),
                _measurements(report),
                _stages(report.stages, folder),
                _gallery("Depth", report, folder, FileKind.DEPTH_PICTURE),
                _files(report.files),
                _models(report),
            ),
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Bonecraft: {escape(_title(report))}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n"
        f"<footer>{escape(report.disclaimer)}</footer>\n</body>\n</html>\n"
    )


def _title(report: Report) -> str:
    if report.status is Status.REFUSED:
        return "not reconstructed"
    return ", ".join(_bone_title(surface) for surface in report.surfaces)


def _bone_title(surface: SurfaceReport) -> str:
    return bone_title(Bone(surface.bone), Side(surface.side) if surface.side else None)


def _head(report: Report) -> str:
    version = escape(report.software_version)
    title = escape(_title(report).capitalize())
    return f'<header><h1>{title}</h1><span class="quiet">Bonecraft {version}</span></header>'


def _banners(report: Report) -> str:
    texts = [f"Refused ({r.code}): {r.sentence} {r.advice}".rstrip()] if (r := report.refusal) else []
    texts += [SHAPE_ONLY] if report.status is Status.RECONSTRUCTED and not report.scale.known else []
    texts += report.warnings
    return "".join(f'<div class="banner">{escape(text)}</div>' for text in texts)


def _facts(report: Report) -> str:
    """A lone bone's figures as cards; several bones' as a table. What holds for all of them as cards in any case."""
    if not report.surfaces:
        return ""
    several = len(report.surfaces) > 1
    cards = [] if several else _surface_facts(report.surfaces[0], report.scale)
    views = ", ".join(f"{r.view} {r.side}" for r in report.radiographs)
    cards.append((str(len(report.radiographs)), f"views used: {views}"))
    cards.append((_scale_words(report.scale), f"scale: {report.scale.provenance}"))
    cells = "".join(f'<div class="fact"><b>{escape(value)}</b>{escape(words)}</div>' for value, words in cards)
    return f'<div class="facts">{cells}</div>{_bones(report) if several else ""}'


def _surface_facts(surface: SurfaceReport, scale: ScaleReport) -> list[tuple[str, str]]:
    return [
        (_expected(surface, scale), "expected mean surface error"),
        (f"{surface.vertices:,}", f"vertices, {surface.triangles:,} triangles, {_closed(surface)}"),
        (f"{surface.inferred_fraction:.0%}", "of the surface is inferred: no radiograph shows it"),
    ]


def _bones(report: Report) -> str:
    """A row for each bone, with its colour."""
    head = (
        "<tr><th>Bone</th><th class=number>Expected error</th><th class=number>Contour error</th>"
        "<th class=number>Inferred, not seen</th><th>Mesh</th></tr>"
    )
    return f"<h2>The bones</h2><table>{head}{''.join(_bone_row(s, report) for s in report.surfaces)}</table>"


def _bone_row(surface: SurfaceReport, report: Report) -> str:
    contours = [(r.view, c.error_mm) for r in report.radiographs for c in r.contours if c.bone == surface.name]
    errors = ", ".join(f"{view} {error:.1f} mm" for view, error in contours if error is not None)
    mesh = f"{surface.vertices:,} vertices, {_closed(surface)}"
    swatch = f'<span class=swatch style="background:{escape(surface.colour)}"></span>'
    return (
        f"<tr><td>{swatch}{escape(_bone_title(surface))}</td>"
        f"<td class=number>{escape(_expected(surface, report.scale))}</td><td class=number>{escape(errors)}</td>"
        f"<td class=number>{surface.inferred_fraction:.0%}</td><td class=quiet>{escape(mesh)}</td></tr>"
    )


def _expected(surface: SurfaceReport, scale: ScaleReport) -> str:
    return f"{surface.expected_error:.1f} mm" if scale.known else "not in mm"


def _closed(surface: SurfaceReport) -> str:
    return "watertight" if surface.watertight else "not closed"


def _scale_words(scale: ScaleReport) -> str:
    return f"± {scale.relative_uncertainty:.1%}" if scale.known else "shape only"


def _proof(report: Report, folder: Path) -> str:
    proofs = [file for file in report.files if file.kind is FileKind.CONTOUR_PICTURE]
    return _pictures("The outlines on the radiographs", proofs, folder, wide=True)


def _gallery(heading: str, report: Report, folder: Path, kind: FileKind) -> str:
    return _pictures(heading, [file for file in report.files if file.kind is kind], folder)


def _pictures(heading: str, pictures: Sequence[ResultFile], folder: Path, *, wide: bool = False) -> str:
    figures = _figures((folder / file.path, file.title) for file in pictures)
    layout = "pictures wide" if wide else "pictures"
    return f'<h2>{escape(heading)}</h2><div class="{layout}">{figures}</div>' if figures else ""


def _figures(pictures: Iterable[tuple[Path, str]]) -> str:
    with ThreadPoolExecutor(PICTURES_AT_ONCE) as painters:
        return "".join(painters.map(lambda picture: _figure(*picture), pictures))


def _figure(path: Path, words: str) -> str:
    """A picture as a data URI, reduced to what a page shows; a long strip takes the page's whole width."""
    with Image.open(path) as picture:
        is_strip = picture.width > STRIP_ASPECT * picture.height
        is_small = path.stat().st_size <= SMALL_BYTES
        source = _uri("image/png", path.read_bytes()) if is_small else _uri("image/jpeg", _as_jpeg(picture))
    image = f'<img src="{source}" alt="{escape(words)}" loading="lazy">'
    return f"<figure{' class=full' if is_strip else ''}>{image}<figcaption>{escape(words)}</figcaption></figure>"


def _as_jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail((LONGEST_PIXELS, LONGEST_PIXELS))
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _measurements(report: Report) -> str:
    """A table with the measurements of each bone under its name; those of several bones last."""
    groups: dict[str, list[Measurement]] = {surface.name: [] for surface in report.surfaces}
    for measurement in report.measurements:
        groups.setdefault(measurement.bone, []).append(measurement)
    titles = {surface.name: _bone_title(surface) for surface in report.surfaces}
    rows = [
        f"<tr class=group><th colspan=3>{escape(titles.get(name, name))}</th></tr>"
        + "".join(map(_measurement_row, of_bone))
        for name, of_bone in groups.items()
        if of_bone
    ]
    head = "<tr><th>Measurement</th><th class=number>Value</th><th class=number>90 % interval</th></tr>"
    return f"<h2>Measurements</h2><table>{head}{''.join(rows)}</table>" if rows else ""


def _measurement_row(measurement: Measurement) -> str:
    name = escape(measurement.name)
    if measurement.value is None:
        return f"<tr class=grey><td>{name}</td><td colspan=2>{escape(measurement.reason)}</td></tr>"
    unit = {"deg": "°"}.get(measurement.unit, f" {measurement.unit}")
    ends = (measurement.lower, measurement.upper)
    interval = " to ".join(f"{end:.1f}{unit}" for end in ends if end is not None)
    value = f"{measurement.value:.1f}{unit}"
    return f"<tr><td>{name}</td><td class=number>{escape(value)}</td><td class=number>{escape(interval)}</td></tr>"


def _stages(stages: Sequence[StageReport], folder: Path) -> str:
    rows = "".join(
        f"<tr><td>{escape(s.name)}</td><td>{escape(s.summary)}</td><td class=number>{s.seconds:.2f} s</td></tr>"
        for s in stages
    )
    total = f"<tr><td></td><td></td><td class=number>{sum(s.seconds for s in stages):.2f} s</td></tr>"
    table = f"<table><tr><th>Stage</th><th>What it did</th><th class=number>Time</th></tr>{rows}{total}</table>"
    figures = _figures((folder / s.picture, s.name) for s in stages if s.picture)
    return f'<h2>Stage by stage</h2>{table}<p></p><div class="pictures wide">{figures}</div>' if stages else ""


def _files(results: Iterable[ResultFile]) -> str:
    items = "".join(
        f'<li><a href="{escape(file.path)}">{escape(file.title)}</a></li>' for file in results if file.kind in DOWNLOADS
    )
    return f"<h2>Files beside this page</h2><ul>{items}</ul>" if items else ""


def _models(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{escape(m.name)}</td><td>{escape(m.version)}</td><td>{escape(m.licence)}</td>"
        f"<td class=quiet>{escape(m.sha256[:12])}</td></tr>"
        for m in report.models
    )
    head = "<tr><th>Model</th><th>Version</th><th>Licence</th><th>SHA-256</th></tr>"
    return f"<h2>Models that took part</h2><table>{head}{rows}</table>" if rows else ""
