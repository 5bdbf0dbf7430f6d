"""`make showcase-ohif`: the sample study and its results in viewers by others, photographed.

python -m tests.showcase.ohif --out FOLDER [--app FOLDER]

OHIF's built application comes from npm (@ohif/app); Orthanc keeps the study and serves it by DICOMweb. The structured
report, which OHIF does not show, is photographed as the page that dcmtk's dsr2html makes of it.
"""

from __future__ import annotations

import argparse
import http.server
import json
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from playwright.sync_api import Page, sync_playwright
from pydicom import dcmread

from pipeline.cli.sample import sample_folder
from pipeline.study import reconstruct_study
from tests.acceptance.test_web_in_browser import CHROMIUM, CHROMIUM_OPTIONS
from tests.peers import OrthancPeer, debian_program, running_orthanc

PACKAGE: Final = "@ohif/app@3.12.10"
SCREEN: Final = {"width": 1440, "height": 900}
PATIENCE_MS: Final = 120_000
SETTLE_SECONDS: Final = 6
"""For textures to be drawn after the last request."""

CONFIGURATION: Final = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "orthanc",
                "wadoUriRoot": "/dicom-web",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "supportsFuzzyMatching": False,
                "omitQuotationForMultipartRequest": True,
            },
        }
    ],
}

SHOWN: Final = {
    "proof": "Bonecraft right: bones on radiographs",
    "turntable": "Bonecraft: bones turning",
    "measurements": "Bonecraft: measurements as a picture",
}
"""What is photographed, by its SeriesDescription."""


class _Viewer(http.server.SimpleHTTPRequestHandler):
    """OHIF's files, and Orthanc's DICOMweb below the same address, so that no browser minds."""

    def __init__(self, *arguments: object, archive: OrthancPeer, **options: object) -> None:
        self._archive = archive
        super().__init__(*arguments, **options)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """A file, what Orthanc answers, or the application, which has pages of its own."""
        if self.path.startswith("/dicom-web"):
            self._pass_on()
            return
        if self.path.startswith("/app-config.js"):
            self._answer(f"window.config = {json.dumps(CONFIGURATION)}".encode(), "text/javascript")
            return
        if not Path(self.translate_path(self.path)).is_file():
            self.path = "/index.html"
        super().do_GET()

    def _pass_on(self) -> None:
        accept = {"Accept": self.headers.get("Accept", "*/*")}
        answer = httpx.get(f"{self._archive.url}{self.path}", headers=accept, timeout=60)
        self._answer(answer.content, answer.headers.get("Content-Type", ""), status=answer.status_code)

    def _answer(self, content: bytes, kind: str, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def main() -> None:
    """Reconstruct, store, show, photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--app", type=Path, help="OHIF's built application; fetched from npm by default")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bonecraft-ohif-") as scratch:
        folder = Path(scratch)
        app = given.app or _fetched(folder)
        films = sorted(sample_folder().glob("*.dcm"))
        reconstruct_study(films, folder / "results")
        (folder / "orthanc").mkdir()
        with running_orthanc(folder / "orthanc") as archive, _served(app, archive) as address:
            for path in (*films, *(folder / "results" / "dicom").iterdir()):
                httpx.post(f"{archive.url}/instances", content=path.read_bytes(), timeout=60).raise_for_status()
            study = str(dcmread(films[0], stop_before_pixels=True).StudyInstanceUID)
            with _page() as page:
                _photograph(page, f"{address}/viewer?StudyInstanceUIDs={study}", given.out)
                _photograph_report(page, folder / "results" / "dicom" / "measurement-report.dcm", given.out)


def _fetched(folder: Path) -> Path:
    """OHIF's built application, from npm."""
    done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, check=True)
    with tarfile.open(folder / done.stdout.strip().splitlines()[-1]) as archive:
        archive.extractall(folder / "ohif", filter="data")
    return folder / "ohif" / "package" / "dist"


@contextmanager
def _served(app: Path, archive: OrthancPeer) -> Iterator[str]:
    handler = partial(_Viewer, archive=archive, directory=str(app))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def _page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        page = browser.new_page(viewport=SCREEN)
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


def _photograph(page: Page, address: str, out: Path) -> None:
    page.goto(address)
    page.get_by_text("Skip all").click()  # OHIF's own guided tour lies over everything
    for name, words in SHOWN.items():
        _open(page, words)
        page.screenshot(path=out / f"ohif-{name}.jpg", type="jpeg", quality=80)


def _photograph_report(page: Page, report: Path, out: Path) -> None:
    """The whole report as a page, with nothing left to footnotes."""
    made = report.with_suffix(".html")
    command = [debian_program("dsr2html", package="dcmtk"), "--quiet", "--always-expand-inline", report, made]
    subprocess.run(command, check=True)
    page.goto(made.as_uri())
    page.screenshot(path=out / "dsr2html-report.jpg", type="jpeg", quality=80, full_page=True)


def _open(page: Page, words: str) -> None:
    """Put the series of these words into the viewport."""
    page.get_by_text(words, exact=True).first.dblclick()
    page.wait_for_load_state("networkidle")
    time.sleep(SETTLE_SECONDS)


if __name__ == "__main__":
    main()
