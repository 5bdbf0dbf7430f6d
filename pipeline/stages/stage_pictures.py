"""One picture per stage for the report: what went in, what was seen, how the beam ran, what came out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.radiograph import Radiograph
from pipeline.stages.bands import band
from pipeline.stages.calibrate import Calibration
from pipeline.stages.camera import Camera
from pipeline.stages.enhance import EnhancedImage
from pipeline.stages.gate import LOGITS, GateDecision
from pipeline.stages.lettering import INK, QUIET, Line, Picture, with_legend, with_text
from pipeline.stages.overlay import ReprojectedContour, fitted, windowed, with_contours
from pipeline.stages.palette import BONE_COLOURS, UNCERTAINTY_RAMP, UNCERTAINTY_RANGE, ramp_strip
from pipeline.stages.perceive import Perception
from pipeline.stages.render import Body, render_shaded
from pipeline.surface import Bone

HEIGHT: Final = 560
UNCERTAINTY_PIXELS: Final = 660
GAP: Final = 10
BAR_STEP: Final = 26
BARS_HEIGHT: Final = BAR_STEP * (LOGITS + 2)
GROUND: Final = (10, 11, 14)

LIKELIEST: Final = (64, 224, 208)
MASK_OPACITY: Final = 0.35
FIELD_DIMMING: Final = 0.45
LANDMARK_COLOUR: Final = (255, 214, 64)
BEAM_COLOURS: Final = ((255, 214, 64), (64, 224, 208), (222, 104, 158), (148, 168, 196))


def montage(pictures: Sequence[Picture], *, height: int = HEIGHT) -> Picture:
    """Pictures beside each other, all of that height.

    Args:
        pictures: (H, W, 3) uint8 each.
        height: Of the result.
    """
    scaled = [_of_height(picture, height) for picture in pictures]
    gap = np.full((height, GAP, 3), GROUND, dtype=np.uint8)
    row = [part for picture in scaled for part in (picture, gap)][:-1]
    return np.concatenate(row, axis=1)


def input_picture(radiographs: Sequence[Radiograph]) -> Picture:
    """The radiographs as a reader would window them."""
    return montage([np.repeat(windowed(r.pixels)[..., None], 3, axis=2) for r in radiographs])


def gate_picture(decisions: Sequence[GateDecision]) -> Picture:
    """What the gate thinks each picture shows: a bar per content, and the view."""
    return montage([_bars(decision) for decision in decisions], height=BARS_HEIGHT)


def enhanced_picture(enhanced: Sequence[EnhancedImage]) -> Picture:
    """What the networks get."""
    return montage([_grey(image) for image in enhanced])


Seen = Sequence[tuple[Bone, Perception]]
"""What was seen of each bone in one picture."""


def perceived_picture(enhanced: Sequence[EnhancedImage], seen: Sequence[Seen]) -> Picture:
    """The bones' shadows and their landmarks, each with a circle of two standard deviations."""
    return montage([_perceived(*pair) for pair in zip(enhanced, seen, strict=True)])


def beam_picture(calibrations: Sequence[Calibration]) -> Picture:
    """Focal spots, rays to the detectors' ends, and the bone's place, seen from the patient's head, to scale."""
    beams = [_beam_points(calibration.geometry)[:, :2] for calibration in calibrations]
    low, high = np.min(np.vstack(beams), axis=0), np.max(np.vstack(beams), axis=0)
    scale = 0.72 * HEIGHT / max(float((high - low).max()), 1.0)
    image = Image.new("RGB", (round(1.5 * HEIGHT), HEIGHT), GROUND)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    middle = np.array([0.5 * image.width, 0.56 * HEIGHT])

    def place(point: FloatArray) -> tuple[float, float]:
        across, down = (point - (low + high) / 2) * scale + middle
        return float(across), float(down)

    for number, (calibration, beam) in enumerate(zip(calibrations, beams, strict=True)):
        colour = BEAM_COLOURS[number % len(BEAM_COLOURS)]
        source, first, last = (place(point) for point in beam)
        draw.polygon([source, first, last], fill=tuple(channel // 7 for channel in colour))
        draw.line([first, last], fill=colour, width=4)
        _dot(draw, source, 5, colour)
        draw.text((14, 12 + 22 * number), _beam_words(calibration), fill=colour, font=font)
    _dot(draw, place(np.zeros(2)), 15 * scale + 2, INK)
    draw.text((14, HEIGHT - 28), "seen from the head: front above, patient's left on the right", fill=QUIET, font=font)
    return np.array(image)


Contours = Sequence[ReprojectedContour]
"""Of the bones in one picture."""


def fit_picture(radiographs: Sequence[Radiograph], before: Sequence[Contours], after: Sequence[Contours]) -> Picture:
    """Outlines of the models' mean bones, and of the fitted ones, on each radiograph."""
    pictures = []
    for radiograph, first, last in zip(radiographs, before, after, strict=True):
        picture, factor = fitted(windowed(radiograph.pixels), longest=1000)
        for contours, word in ((first, "mean shape"), (last, "fitted")):
            drawn = with_contours(picture, contours, factor=factor)
            pictures.append(with_text(drawn, "top left", Line(text=word)))
    return montage(pictures)


def uncertainty_picture(body: Body, cameras: Sequence[Camera], *, around: FloatArray | None, unit: str) -> Picture:
    """Bones coloured by the standard deviation of their surface.

    Args:
        body: Painted with `uncertainty_colours`.
        cameras: Where from.
        around: (N, 3) what the pictures shall show; None: everything.
        unit: Of the deviation, empty where there is none.
    """
    low, high = UNCERTAINTY_RANGE
    renderings = [render_shaded(body, view, longest_side=UNCERTAINTY_PIXELS, around=around) for view in cameras]
    strip = ramp_strip(UNCERTAINTY_RAMP)
    low_label, high_label = (f"{value:g} {unit}".strip() for value in (low, high))
    pictures = [rendering.pixels for rendering in renderings]
    pictures[0] = with_legend(pictures[0], strip, low=low_label, high=high_label, title="± 1 SD")
    headers = [band(picture.shape[1], Line(text=view.name)) for picture, view in zip(pictures, cameras, strict=True)]
    views = [np.concatenate(parts) for parts in zip(headers, pictures, strict=True)]
    return montage(views, height=UNCERTAINTY_PIXELS)


def _bars(decision: GateDecision) -> Picture:
    scores = decision.scores
    image = Image.new("RGB", (460, BARS_HEIGHT), GROUND)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    draw.text((14, 10), f"read as {decision.view} {decision.side or ''}", fill=INK, font=font)
    likely = [
        *scores.contents.items(),
        ("seen from the side", scores.lateral),
        ("bone is dark", scores.inverted),
        *scores.hindrances.items(),
    ]
    for number, (words, probability) in enumerate(likely, start=1):
        top = 10 + BAR_STEP * number
        colour = LIKELIEST if words is decision.content else QUIET
        draw.text((14, top), words, fill=INK if probability > 0.5 else QUIET, font=font)
        draw.rectangle([180, top + 3, 181 + 200 * probability, top + 15], fill=colour)
        draw.text((392, top), f"{probability:.0%}", fill=QUIET, font=font)
    return np.array(image)


def _beam_words(calibration: Calibration) -> str:
    geometry = calibration.geometry
    magnification = geometry.magnification(np.zeros(3))
    distance = f"focal spot to detector {geometry.source_to_detector:.0f} mm"
    return f"{calibration.view}: {distance}, magnification {magnification:.2f}"


def _dot(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, colour: tuple[int, int, int]) -> None:
    x, y = centre
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _of_height(picture: Picture, height: int) -> Picture:
    width = max(round(picture.shape[1] * height / picture.shape[0]), 1)
    interpolation = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), dtype=np.uint8)


def _grey(enhanced: EnhancedImage) -> Picture:
    low, high = np.percentile(enhanced.image[enhanced.field], [1, 99]) if enhanced.field.any() else (0.0, 1.0)
    grey = np.clip((enhanced.image - low) / max(float(high - low), 1e-6), 0, 1) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def _perceived(enhanced: EnhancedImage, seen: Seen) -> Picture:
    """The enhanced image with masks tinted, what lies outside the field dimmed, and landmarks marked."""
    tinted = _grey(enhanced).astype(np.float32)
    tinted[~enhanced.field] *= FIELD_DIMMING
    for bone, perception in seen:
        weight = MASK_OPACITY * perception.mask[..., None]
        tinted = tinted * (1 - weight) + np.array(BONE_COLOURS[bone], dtype=np.float32) * weight
    picture, factor = _of_height(tinted.astype(np.uint8), HEIGHT), HEIGHT / tinted.shape[0]
    for _, perception in seen:
        picture = _with_landmarks(picture, perception, factor)
    return picture


def _with_landmarks(picture: Picture, perception: Perception, factor: float) -> Picture:
    """A copy with landmarks on it, `factor` picture pixels per working pixel."""
    linear, shift = perception.working_to_pixel[:, :2], perception.working_to_pixel[:, 2]
    per_pixel = factor / float(np.sqrt(abs(np.linalg.det(linear))))
    places = {
        name: (np.linalg.inv(linear) @ (landmark.pixel - shift) + 0.5) * factor
        for name, landmark in perception.landmarks.items()
    }
    for (column, row), landmark in zip(places.values(), perception.landmarks.values(), strict=True):
        centre, radius = (round(column), round(row)), max(round(2 * landmark.sd_pixels * per_pixel), 3)
        cv2.circle(picture, centre, radius, LANDMARK_COLOUR, 1, cv2.LINE_AA)
        cv2.drawMarker(picture, centre, LANDMARK_COLOUR, cv2.MARKER_CROSS, 9, 1, cv2.LINE_AA)
    image = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for name, (column, row) in places.items():
        at, words = (column + 9, row - 6), name.replace("_", " ")
        draw.text(at, words, fill=INK, font=font, stroke_width=1, stroke_fill=GROUND)
    return np.array(image)


def _beam_points(geometry: ProjectionGeometry) -> FloatArray:
    """(3, 3) focal spot, and the detector's two ends in the plane across the patient."""
    middle = (geometry.rows - 1) / 2
    ends = geometry.pixel_position(np.array([[0.0, middle], [geometry.columns - 1.0, middle]]))
    return np.vstack([geometry.source, ends])
