"""The viewer in a real Chromium, as people use it.

With BONECRAFT_SCREENSHOTS=folder in the environment every page is kept as a picture.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import update

from pipeline.database import Database
from pipeline.dicom_read import read_radiograph
from pipeline.inbox import Incoming, UnreadableDataset, accept
from pipeline.records import admin, reconstructions
from pipeline.records.tables import instances, result_sets
from pipeline.records.users import Role, create_login_link, find_user
from pipeline.results import SHAPE_ONLY
from pipeline.site_values import PeerValue, Subject
from pipeline.store import Store
from tests.node_helpers import Hospital
from tests.viewer_api.example_study import (
    SAMPLE,
    ExampleStudy,
    add_finished_study,
    make_report,
    make_report_of_a_pelvis,
    receive_sample,
)
from tests.viewer_api.people import PASSWORD
from tests.viewer_api.served import served
from viewer_api.page import DIST
from viewer_api.pictures import picture_of

CHROMIUM = shutil.which("chromium")
CHROMIUM_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
SCREEN = {"width": 1440, "height": 900}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(not DIST.is_dir(), reason="the page is not built: npm ci && npm run build in viewer_api/web"),
    # Playwright's own event loop and transport are left to the garbage collector when its driver ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def address(web_app: FastAPI) -> Iterator[str]:
    with served(web_app) as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Callable[[], Page]]:
    """A window of its own, of which the browser must not complain: scripts, security policy, 5xx.

    4xx are answers that a test asks for (a wrong password, somebody else's study).
    """
    contexts, complaints = [], []

    def note(message) -> None:
        if message.type == "error" and "status of 4" not in message.text:
            complaints.append(message.text)

    def go() -> Page:
        context = browser.new_context(base_url=address, viewport=SCREEN, accept_downloads=True)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def log_in(open_page: Callable[[], Page], people) -> Opener:
    """A window in which somebody of a role is logged in."""

    def enter(role: Role, *, institution: str = "demo") -> Page:
        people(role, institution=institution)
        page = open_page()
        page.goto("/login")
        page.get_by_label("E-mail").fill(f"{role}@{institution}.example.org")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Studies")).to_be_visible()
        return page

    return enter


def keep(page: Page, name: str) -> None:
    """A screenshot, where somebody wants to look."""
    if folder := os.environ.get("BONECRAFT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def shades(picture: bytes) -> np.ndarray:
    """(rows, columns) brightness."""
    with Image.open(io.BytesIO(picture)) as opened:
        return np.asarray(opened.convert("L"), dtype=float)


def test_a_person_logs_in_with_a_password_and_out_again(log_in: Opener, open_page):
    stranger = open_page()
    stranger.goto("/studies")
    expect(stranger.get_by_role("heading", name="Log in")).to_be_visible()
    keep(stranger, "login")
    page = log_in(Role.RADIOLOGIST)
    expect(page.get_by_text("No studies yet")).to_be_visible()
    keep(page, "studies-empty")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    keep(page, "help")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_wrong_password_is_told_and_a_one_time_link_works_once(open_page, people, database: Database):
    people(Role.RADIOLOGIST)
    page = open_page()
    page.goto("/login")
    page.get_by_label("E-mail").fill("radiologist@demo.example.org")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    with database.begin() as connection:
        user = find_user(connection, email="radiologist@demo.example.org")
        assert user is not None
        token = create_login_link(connection, user.id, now=datetime.now(UTC))
    page.goto(f"/login/once#{token}")
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
    assert token not in page.url
    again = open_page()
    again.goto(f"/login/once#{token}")
    expect(again.get_by_role("alert")).to_contain_text("used")
    keep(again, "once-used")


def test_a_radiologist_reads_a_reconstructed_study(log_in: Opener, example: ExampleStudy, tmp_path: Path):
    page = log_in(Role.RADIOLOGIST)
    expect(page.get_by_text("Reconstructed")).to_be_visible()
    keep(page, "studies")
    page.get_by_role("link", name="Sample, Bonecraft").click()
    expect(page.get_by_role("region", name="How far to trust this")).to_contain_text("1.2 mm")
    bone = page.locator("canvas")
    expect(bone).to_have_attribute("data-drawn", "yes")
    page.wait_for_timeout(500)
    assert shades(bone.screenshot()).std() > 8, "the bone is drawn, not an empty frame"
    keep(page, "study")

    contours = page.locator("svg.contour")
    expect(contours).to_have_count(2)
    page.keyboard.press("c")
    expect(contours).to_have_count(0)
    page.keyboard.press("c")
    expect(contours).to_have_count(2)


def test_the_bone_turns_colours_and_marks_what_is_inferred(log_in: Opener, example: ExampleStudy):
    page = log_in(Role.RADIOLOGIST)
    page.goto(f"/studies/{example.study_id}")
    bone = page.locator("canvas")
    expect(bone).to_have_attribute("data-drawn", "yes")
    seen = {}
    for key, name in (("1", "anterior"), ("4", "lateral"), ("5", "superior")):
        page.keyboard.press(key)
        page.wait_for_timeout(900)
        expect(page.get_by_role("application", name=f"{name} view")).to_be_visible()
        seen[name] = shades(bone.screenshot())
    assert abs(seen["anterior"] - seen["lateral"]).mean() > 2
    assert abs(seen["anterior"] - seen["superior"]).mean() > 2
    page.keyboard.press("1")
    page.keyboard.press("e")
    page.wait_for_timeout(900)
    assert abs(seen["anterior"] - shades(bone.screenshot())).mean() > 0.5
    keep(page, "study-uncertainty")


def test_several_bones_are_shown_and_hidden_one_by_one_on_the_film_and_in_space(
    log_in: Opener, database: Database, web_store: Store, institution_id, tmp_path: Path
):
    report = make_report_of_a_pelvis(tmp_path)
    added = add_finished_study(database, web_store, institution_id, tmp_path, report=report)
    page = log_in(Role.RADIOLOGIST)
    page.goto(f"/studies/{added.study_id}")
    bones = page.get_by_role("region", name="How far to trust this")
    for title in ("Right hip bone", "Left hip bone", "Sacrum"):
        expect(bones.get_by_role("button", name=title)).to_have_attribute("aria-pressed", "true")
    scene = page.locator("canvas")
    expect(scene).to_have_attribute("data-drawn", "yes")
    outlines = page.locator("svg.contour g")
    expect(outlines).to_have_count(3)
    assert len(set(outlines.evaluate_all("all => all.map((g) => g.lastChild.getAttribute('stroke'))"))) == 2
    page.wait_for_timeout(500)
    whole = shades(scene.screenshot())
    keep(page, "study-of-several-bones")
    bones.get_by_role("button", name="Sacrum").click()
    expect(outlines).to_have_count(2)
    page.wait_for_timeout(500)
    assert abs(whole - shades(scene.screenshot())).mean() > 1, "the sacrum is gone from the scene"
    expect(page.get_by_role("button", name="From the right")).to_be_visible()
    expect(page.get_by_role("tabpanel").get_by_role("rowheader")).to_have_text("Left hip bone")
    expect(page.get_by_role("cell", name="40.2°", exact=True)).to_be_visible()


def test_a_result_of_the_first_version_is_still_shown(
    log_in: Opener, database: Database, web_store: Store, institution_id, tmp_path: Path
):
    report = json.loads(make_report(tmp_path).to_json())
    for film in report["radiographs"]:
        (contour,) = film.pop("contours")
        film |= {"contour": contour["polygons"], "contour_error_mm": contour["error_mm"]}
    for surface in report["surfaces"]:
        del surface["colour"]
    added = add_finished_study(database, web_store, institution_id, tmp_path, report=make_report(tmp_path))
    with database.begin() as connection:
        connection.execute(update(result_sets).where(result_sets.c.id == added.result_id).values(report=report))
    page = log_in(Role.RADIOLOGIST)
    page.goto(f"/studies/{added.study_id}")
    expect(page.get_by_role("region", name="How far to trust this")).to_contain_text("0.7 mm")
    expect(page.locator("svg.contour g")).to_have_count(2)
    expect(page.locator("canvas")).to_have_attribute("data-drawn", "yes")


def test_the_window_follows_the_mouse(log_in: Opener, example: ExampleStudy):
    page = log_in(Role.RADIOLOGIST)
    page.goto(f"/studies/{example.study_id}")
    film = page.get_by_role("application", name="AP, right")
    expect(film.get_by_role("img", name="Radiograph")).to_be_visible()
    page.wait_for_timeout(500)
    before = shades(film.screenshot()).mean()
    box = film.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + 120, steps=4)
    page.mouse.up()
    darker = shades(film.screenshot()).mean()
    assert darker < before - 10
    page.keyboard.press("0")
    page.wait_for_timeout(300)
    assert abs(shades(film.screenshot()).mean() - before) < 2


def test_every_part_of_a_result_can_be_seen_and_downloaded(log_in: Opener, example: ExampleStudy):
    page = log_in(Role.RADIOLOGIST)
    page.goto(f"/studies/{example.study_id}")
    expect(page.get_by_role("cell", name="Neck-shaft angle")).to_be_visible()
    expect(page.get_by_text("The knee is outside the field.")).to_be_visible()
    for part in ("Pictures", "How it was made", "Downloads"):
        page.get_by_role("tab", name=part).click()
        expect(page.get_by_role("tabpanel", name=part)).to_be_visible()
        page.wait_for_timeout(300)
        keep(page, f"study-{part.lower().replace(' ', '-')}")
    with page.expect_download() as download:
        page.get_by_role("link", name="STL").first.click()
    assert download.value.suggested_filename == "bonecraft-femur_R.stl"
    assert Path(download.value.path()).stat().st_size > 10_000


def test_a_shape_without_scale_says_so_everywhere(
    log_in: Opener, database: Database, web_store: Store, institution_id, tmp_path: Path
):
    (tmp_path / "shape").mkdir()
    added = add_finished_study(database, web_store, institution_id, tmp_path / "shape", scale_known=False)
    page = log_in(Role.RADIOLOGIST)
    page.goto(f"/studies/{added.study_id}")
    expect(page.get_by_text("SHAPE ONLY", exact=True)).to_have_count(3)  # on both radiographs and on the bone
    expect(page.get_by_text(SHAPE_ONLY)).to_be_visible()
    expect(page.locator("canvas")).to_have_attribute("data-drawn", "yes")
    keep(page, "study-shape-only")


def test_progress_is_live_and_the_result_appears_by_itself(
    log_in: Opener, database: Database, web_store: Store, institution_id
):
    study_id = receive_sample(database, web_store, institution_id)
    with database.begin() as connection:
        (reconstruction,) = reconstructions.of_study(connection, study_id)
        begun = reconstructions.begin(connection, reconstruction, now=datetime.now(UTC))
    page = log_in(Role.RADIOLOGIST)
    page.goto(f"/studies/{study_id}")
    expect(page.get_by_role("progressbar")).to_be_visible()
    with database.begin() as connection:
        reconstructions.note_progress(
            connection, reconstruction.id, stage="fit", percent=62, sentence="Fitting the femur to both outlines"
        )
    expect(page.get_by_text("Fitting the femur to both outlines")).to_be_visible()
    keep(page, "study-running")
    page.goto("/studies")
    expect(page.get_by_text("Running")).to_be_visible()
    keep(page, "studies-running")
    page.goto(f"/studies/{study_id}")
    expect(page.get_by_role("progressbar")).to_be_visible()
    with database.begin() as connection:
        problem = "The outline of the bone could not be seen in the lateral view."
        reconstructions.finish(connection, begun, "refused", now=datetime.now(UTC), problem=problem)
    expect(page.get_by_text(problem)).to_be_visible()
    keep(page, "study-refused")


def test_a_picture_is_previewed_described_and_uploaded(log_in: Opener, tmp_path: Path):
    picture = tmp_path / "hip.png"
    picture.write_bytes(picture_of(read_radiograph(SAMPLE / "1-ap.dcm")))
    page = log_in(Role.SPECIALIST)
    page.goto("/upload")
    keep(page, "upload-empty")
    page.get_by_label("Radiographs").set_input_files([picture, SAMPLE / "2-lateral.dcm"])
    preview = page.get_by_alt_text("Preview of hip.png")
    expect(preview).to_be_visible()
    assert preview.evaluate("image => image.decode().then(() => image.naturalWidth)") == 779
    expect(page.get_by_alt_text("Preview of 2-lateral.dcm")).to_be_visible()
    expect(page.get_by_text("Nothing is stored yet.")).to_be_visible()
    card = page.get_by_role("article", name="hip.png")
    card.get_by_label("View").select_option("AP")
    card.get_by_label("Side").select_option("R")
    card.get_by_label("Pixel spacing, mm").fill("0.2")
    page.wait_for_timeout(300)
    keep(page, "upload")
    page.get_by_role("article", name="2-lateral.dcm").get_by_role("button", name="Leave out").click()
    page.get_by_role("button", name="Send 1 radiograph").click()
    stored = page.get_by_alt_text("Radiograph, AP, right")
    expect(stored).to_be_visible()
    assert stored.evaluate("image => image.decode().then(() => image.naturalWidth)") == 779
    keep(page, "study-uploaded")


def test_an_administrator_changes_an_ae_title_and_undoes_it(log_in: Opener, database: Database, institution_id):
    with database.begin() as connection:
        peer = PeerValue(host="127.0.0.1", port=4242, allow_from=("127.0.0.1/32",), sends=True, receives=True)
        admin.change(connection, Subject.of_peer("demo", "PACS"), peer, who="site.toml", source="site.toml")
    page = log_in(Role.ADMIN)
    page.goto("/administration")
    titles = page.get_by_label("Modalities call the node as")
    expect(titles).to_have_value("BONECRAFT")
    titles.fill("BONECRAFT, BONES2")
    page.get_by_role("button", name="Show the change").first.click()
    expect(page.locator(".difference").first).to_contain_text('+ called_ae_titles = ["BONECRAFT", "BONES2"]')
    keep(page, "administration-difference")
    page.get_by_role("button", name="Apply").click()
    change = page.get_by_role("listitem").filter(has_text="institution demo").first
    expect(change).to_contain_text("BONES2")
    page.get_by_role("button", name="Edit").first.click()
    keep(page, "administration")
    change.get_by_role("button", name="Undo").click()
    expect(titles).to_have_value("BONECRAFT")
    refusals = page.locator("section").filter(has=page.get_by_role("heading", name="Studies that are not"))
    refusals.get_by_label("get a report and a picture").check()
    refusals.get_by_role("button", name="Show the change").click()
    expect(refusals.locator(".difference")).to_contain_text("+ answers_refusals = true")


def test_an_administrator_makes_a_rule_and_a_radiologist_overrides_it(log_in: Opener, hospital: Hospital):
    with hospital.database.begin() as connection:
        peer = PeerValue(host="127.0.0.1", port=4242, receives=True)
        admin.change(connection, Subject.of_peer("demo", "PACS"), peer, who="site.toml", source="site.toml")
    hospital.send("AP", study="an earlier study", now=datetime.now(UTC))
    page = log_in(Role.ADMIN)
    page.goto("/administration")
    rules = page.locator("section").filter(has=page.get_by_role("heading", name="Rules"))
    expect(rules).to_contain_text("No rules: every study is processed")
    rules.get_by_role("button", name="Add a rule").click()
    rules.get_by_label("Name of the rule").fill("no-hips")
    rules.get_by_label("Why it is there").fill("Another department does hips.")
    rules.get_by_label("Body part").fill("HIP | PELVIS")
    rules.get_by_label("PACS gets only").check()
    rules.get_by_label("surface segmentation", exact=True).check()
    rules.get_by_label("Reconstruction").select_option("leave it out")
    rules.get_by_role("button", name="Show the change").click()
    expect(rules.get_by_role("alert")).to_contain_text(
        "a study that is left out has no priority and no results to send"
    )
    rules.get_by_label("PACS gets only").uncheck()
    rules.get_by_role("button", name="Show the change").click()
    expect(rules.locator(".difference")).to_contain_text("when body part is HIP or PELVIS: leave out")
    expect(rules.locator(".notes")).to_contain_text("1 of 1 studies of the last 7 days would have fared differently")
    keep(page, "rules-preview")
    rules.get_by_role("button", name="Apply").click()
    expect(rules.get_by_role("listitem")).to_contain_text("no-hips")
    keep(page, "rules")
    hospital.send("AP")
    left_out = hospital.send("LATERAL")
    radiologist = log_in(Role.RADIOLOGIST)
    radiologist.goto(f"/studies/{left_out.study_id}")
    expect(radiologist.get_by_text("Left out by rule 'no-hips': Another department does hips.")).to_be_visible()
    keep(radiologist, "rules-left-out")
    radiologist.get_by_role("button", name="Process it anyway").click()
    expect(radiologist.locator("[data-state=queued]")).to_be_visible()
    change = page.get_by_role("listitem").filter(has_text="rules demo").first
    change.get_by_role("button", name="Undo").click()
    expect(rules).to_contain_text("No rules: every study is processed")


def test_an_administrator_sets_how_long_what_is_kept_and_clears_the_quarantine(
    log_in: Opener, database: Database, web_store: Store, institution_id, tmp_path: Path
):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no DICOM at all")
    incoming = Incoming(path=broken, institution_id=institution_id, calling_ae_title="CR1", called_ae_title="BONECRAFT")
    for _ in range(2):
        with pytest.raises(UnreadableDataset):
            accept(database, web_store, incoming, now=datetime.now(UTC))
    page = log_in(Role.ADMIN)
    page.goto("/administration")
    kept = page.locator("section").filter(has=page.get_by_role("heading", name="How long what is kept"))
    kept.get_by_label("Images").fill("90")
    kept.get_by_role("button", name="Show the change").click()
    expect(kept.locator(".difference")).to_contain_text("+ keep_images_days = 90")
    kept.get_by_role("button", name="Apply").click()
    expect(kept).to_contain_text("Nothing goes now.")
    quarantine = page.locator("section").filter(has=page.get_by_role("heading", name="Quarantine"))
    expect(quarantine.get_by_role("row")).to_contain_text("CR1")
    expect(quarantine.get_by_role("row")).to_contain_text("2 times since")
    keep(page, "administration-upkeep")
    quarantine.get_by_role("button", name="Take in again").click()
    expect(quarantine.get_by_role("alert")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    quarantine.get_by_role("button", name="Remove").click()
    expect(quarantine).to_contain_text("Everything that was received could be taken in.")


def test_an_administrator_lets_a_program_in_and_has_an_orthanc_watched(log_in: Opener, address: str):
    page = log_in(Role.ADMIN)
    page.goto("/administration")
    page.on("dialog", lambda dialog: dialog.accept())
    tokens = page.locator("section").filter(has=page.get_by_role("heading", name="DICOMweb tokens"))
    tokens.get_by_role("button", name="Add a token").click()
    tokens.get_by_label("For which program").fill("ohif")
    tokens.get_by_role("button", name="Show the change").click()
    expect(tokens.locator(".difference")).to_contain_text("+ may_read = true")
    tokens.get_by_role("button", name="Apply").click()
    secret = tokens.locator(".token").inner_text()
    keep(page, "administration-token")

    def asked() -> int:
        url, headers = f"{address}/dicom-web/studies", {"authorization": f"Bearer {secret}"}
        return httpx.get(url, headers=headers).status_code

    assert asked() in (200, 204)
    tokens.get_by_role("button", name="Revoke").click()
    tokens.get_by_role("button", name="Apply").click()
    expect(tokens.get_by_role("row")).to_contain_text("revoked")
    assert asked() == 401
    sources = page.locator("section").filter(has=page.get_by_role("heading", name="Watched Orthanc servers"))
    sources.get_by_role("button", name="Add a server").click()
    sources.get_by_label("Name", exact=True).fill("archive")
    sources.get_by_label("Address of its REST API").fill("http://127.0.0.1:8042")
    sources.get_by_role("button", name="Show the change").click()
    sources.get_by_role("button", name="Apply").click()
    expect(sources.get_by_role("row")).to_contain_text("http://127.0.0.1:8042")
    keep(page, "administration-sources")
    page.reload()
    expect(sources.get_by_role("row")).to_contain_text("archive")
    expect(tokens.locator(".token")).to_have_count(0)


def test_a_study_whose_radiographs_were_removed_says_so(log_in: Opener, example: ExampleStudy, database: Database):
    with database.begin() as connection:
        connection.execute(update(instances).values(removed_at=datetime(2026, 1, 2, 12, 0, tzinfo=UTC)))
    page = log_in(Role.RADIOLOGIST)
    page.goto(f"/studies/{example.study_id}")
    expect(page.get_by_text("The radiographs were removed on")).to_be_visible()
    expect(page.get_by_role("tab", name="Measurements")).to_be_visible()
    keep(page, "study-without-radiographs")


def test_a_wrong_ae_title_is_refused_with_the_reason(log_in: Opener):
    page = log_in(Role.ADMIN)
    page.goto("/administration")
    titles = page.locator("section").filter(has=page.get_by_label("Modalities call the node as"))
    titles.get_by_label("Modalities call the node as").fill("A TITLE THAT IS TOO LONG")
    titles.get_by_role("button", name="Show the change").click()
    expect(page.get_by_role("alert")).to_contain_text("DICOM allows 16")


def test_another_institution_finds_nothing_at_the_address(log_in: Opener, example: ExampleStudy):
    page = log_in(Role.RADIOLOGIST, institution="other")
    response = page.goto(f"/studies/{example.study_id}")
    assert response is not None
    assert response.status == 404
    expect(page.get_by_text("There is nothing here")).to_be_visible()
    keep(page, "not-found")


def test_a_specialist_registers_and_an_administrator_verifies_them(open_page, log_in: Opener):
    admins = log_in(Role.ADMIN)
    page = open_page()
    page.goto("/register")
    page.get_by_label("Institution").select_option("Demo Hospital")
    page.get_by_label("E-mail").fill("specialist@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    keep(page, "register")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_text("verifies your registration")).to_be_visible()
    admins.goto("/administration")
    row = admins.get_by_role("row").filter(has_text="specialist@example.org")
    expect(row).to_contain_text("waits for you")
    row.get_by_role("button", name="Verify").click()
    expect(row).to_contain_text("active")


def test_the_page_names_its_models_and_licences(log_in: Opener, web_settings):
    page = log_in(Role.RADIOLOGIST)
    page.goto("/about")
    expect(page.get_by_role("heading", name="About Bonecraft")).to_be_visible()
    expect(page.get_by_text("not for diagnosis alone").first).to_be_visible()
    keep(page, "about")
