"""The table of contents of a result folder: what was written is read back, also what earlier versions wrote."""

import json

import pytest

from pipeline.results import BoneContour, RadiographReport, Report, ScaleReport, Status, SurfaceReport

SQUARE = (((1.0, 2.0), (3.0, 2.0), (3.0, 4.0)),)


def a_report() -> Report:
    surfaces = [
        SurfaceReport(
            name=name,
            bone=bone,
            side=side,
            vertices=10,
            triangles=16,
            watertight=True,
            extent=(1.0, 2.0, 3.0),
            expected_error=1.1,
            inferred_fraction=0.2,
            colour="#f0d492",
        )
        for name, bone, side in (("femur_R", "femur", "R"), ("sacrum", "sacrum", None))
    ]
    film = RadiographReport(
        identifier="1.2.3",
        view="AP",
        side="R",
        picture="radiographs/1_AP_R.png",
        contours=(
            BoneContour(bone="femur_R", polygons=SQUARE, error_mm=0.7),
            BoneContour(bone="sacrum", polygons=SQUARE, error_mm=None),
        ),
        rows=100,
        columns=90,
        mm_per_pixel=0.2,
    )
    return Report(
        status=Status.RECONSTRUCTED,
        software_version="0.1.0",
        scale=ScaleReport(known=True, relative_uncertainty=0.02, provenance="calibrated PixelSpacing"),
        radiographs=(film,),
        surfaces=tuple(surfaces),
    )


def as_written_before_bones_shared_films() -> str:
    """`report.json` of a femur as the first version wrote it: one outline per radiograph, no colours."""
    plain = json.loads(a_report().to_json())
    (film,) = plain["radiographs"]
    del film["contours"]
    film |= {"contour": [[list(point) for point in polygon] for polygon in SQUARE], "contour_error_mm": 0.7}
    plain["surfaces"] = plain["surfaces"][:1]
    del plain["surfaces"][0]["colour"]
    return json.dumps(plain)


def test_a_report_is_read_back_as_it_was_written():
    assert Report.from_json(a_report().to_json()) == a_report()


def test_a_report_of_the_first_version_is_still_read():
    report = Report.from_json(as_written_before_bones_shared_films())
    (film,), (surface,) = report.radiographs, report.surfaces
    assert film.contours == (BoneContour(bone="femur_R", polygons=SQUARE, error_mm=0.7),)
    assert film.contours[0].bone == surface.name
    assert (surface.side, surface.colour) == ("R", "")
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("text", ["[]", "{}", '{"status": "reconstructed", "radiographs": [1]}'])
def test_what_is_no_report_is_refused(text):
    with pytest.raises(ValueError, match="not a Bonecraft report"):
        Report.from_json(text)
