"""From path lengths to a film: attenuation, scatter, blur, noise, and what workstations make of it.

Every value is drawn from a wide range: a network that has seen all of it takes a real film for one more of the kind
(domain randomisation; Gao 2023, SyntheX, Nat Mach Intell 5:294).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.training.raycast import Layer

FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Photometry:
    """Beam, patient's tissue, detector and display of one radiograph.

    Attributes:
        muscle: Attenuation of muscle, 1/mm, at the beam's effective energy.
        fat_ratio: Fat's attenuation by muscle's.
        cortical_ratio: Compact bone's attenuation by muscle's.
        core_ratio: Spongy bone's and marrow's attenuation by muscle's.
        texture: Relative unevenness of muscle.
        fat_planes_mm: Thickness of the fat between muscles.
        trabeculae: Relative contrast of spongy bone's structure.
        gas_mm: Largest thickness of bowel gas.
        scatter: Scattered by primary radiation behind the patient.
        noise: Standard deviation of the quantum noise relative to the signal in air.
        blur_mm: Standard deviation of focal spot, motion and detector together.
        logarithmic: Whether the display is of log exposure (else of exposure).
        window: (low, high) percentiles of the patient's shadow that are shown black and white.
        gamma: Exponent of the display curve.
        sigmoid: Weight of an S-shaped curve, as films have it.
        edge_gain: Unsharp masking's gain.
        edge_mm: Its width.
        compression: How far slow changes of grey are flattened, 0 to 1.
        collimated: Whether blades lie in the picture.
        blade_grey: Display value under the blades, 0 to 1; below 0 shows faint scatter instead.
        marker: Letters of lead on the detector, or none.
        objects: Number of things that do not belong to the patient: leads, buttons, screws.
    """

    muscle: float
    fat_ratio: float
    cortical_ratio: float
    core_ratio: float
    texture: float
    fat_planes_mm: float
    trabeculae: float
    gas_mm: float
    scatter: float
    noise: float
    blur_mm: float
    logarithmic: bool
    window: tuple[float, float]
    gamma: float
    sigmoid: float
    edge_gain: float
    edge_mm: float
    compression: float
    collimated: bool
    blade_grey: float
    marker: str
    objects: int


def sample_photometry(rng: np.random.Generator, *, marker: str | None = None) -> Photometry:
    """Any film."""
    enhanced = rng.random() < 0.7
    return Photometry(
        muscle=float(rng.uniform(0.017, 0.026)),
        fat_ratio=float(rng.uniform(0.80, 0.93)),
        cortical_ratio=float(rng.uniform(3.0, 6.0)),
        core_ratio=float(rng.uniform(1.08, 1.9)),
        texture=float(rng.uniform(0.0, 0.06)),
        fat_planes_mm=float(rng.uniform(0, 9)),
        trabeculae=float(rng.uniform(0.0, 0.5)),
        gas_mm=float(rng.uniform(10, 60)) if rng.random() < 0.4 else 0.0,
        scatter=float(rng.uniform(0.05, 0.7)),
        noise=float(10 ** rng.uniform(-3.4, -2.2)),
        blur_mm=float(rng.uniform(0.1, 0.9)),
        logarithmic=bool(rng.random() < 0.85),
        window=(float(rng.uniform(0, 20)) if rng.random() < 0.8 else 0.0, float(rng.uniform(96, 100))),
        gamma=float(np.exp(rng.normal(0, 0.35))),
        sigmoid=float(rng.uniform(0, 0.9)),
        edge_gain=float(rng.uniform(0.2, 1.6)) if enhanced else 0.0,
        edge_mm=float(10 ** rng.uniform(0.0, 1.2)),
        compression=float(rng.uniform(0, 0.85)) if enhanced else 0.0,
        collimated=bool(rng.random() < 0.4),
        blade_grey=float(rng.choice([0.0, 0.0, -1.0, 1.0], p=[0.5, 0.15, 0.3, 0.05])),
        marker=marker if marker is not None else str(rng.choice(["", "R", "L", "R  AP", "L 12", "GAUCHE", "D"])),
        objects=int(rng.poisson(0.25)),
    )


def typical_photometry(rng: np.random.Generator, *, marker: str = "") -> Photometry:
    """An ordinary, well exposed digital radiograph as a department's own system shows it."""
    return Photometry(
        muscle=float(rng.uniform(0.019, 0.022)),
        fat_ratio=float(rng.uniform(0.85, 0.90)),
        cortical_ratio=float(rng.uniform(3.2, 4.5)),
        core_ratio=float(rng.uniform(1.2, 1.5)),
        texture=float(rng.uniform(0.01, 0.04)),
        fat_planes_mm=float(rng.uniform(2, 7)),
        trabeculae=float(rng.uniform(0.1, 0.3)),
        gas_mm=float(rng.uniform(0, 30)),
        scatter=float(rng.uniform(0.1, 0.4)),
        noise=float(rng.uniform(0.001, 0.004)),
        blur_mm=float(rng.uniform(0.15, 0.35)),
        logarithmic=True,
        window=(float(rng.uniform(1, 8)), float(rng.uniform(99.0, 99.8))),
        gamma=float(rng.uniform(0.8, 1.2)),
        sigmoid=float(rng.uniform(0.2, 0.6)),
        edge_gain=float(rng.uniform(0.2, 0.6)),
        edge_mm=float(rng.uniform(2, 6)),
        compression=float(rng.uniform(0.4, 0.65)),
        collimated=False,
        blade_grey=0.0,
        marker=marker,
        objects=0,
    )


def expose(
    lengths: Mapping[Layer, FloatImage],
    spacing_mm: float,
    photometry: Photometry,
    rng: np.random.Generator,
    *,
    foreign: FloatImage | None = None,
) -> tuple[FloatImage, BoolImage]:
    """A film of the path lengths.

    Args:
        lengths: Path length in mm per tissue, (h, w) each.
        spacing_mm: Pixel spacing at the detector.
        photometry: Beam, tissue, detector and display.
        rng: Source of textures, noise, places of markers.
        foreign: (h, w) attenuation, without unit, of what is in or on the patient but not of the patient.

    Returns:
        (h, w) float32 display values in 0..1, bone bright; (h, w) the field that the blades leave free.
    """
    blades = _blades(lengths[Layer.SKIN].shape, photometry, rng)
    attenuation = _attenuation(lengths, spacing_mm, photometry, rng)
    attenuation += _objects(attenuation.shape, spacing_mm, photometry, rng)
    if foreign is not None:
        attenuation += foreign
    primary = np.exp(-attenuation)
    slow = _blurred(primary, 45.0 / spacing_mm)
    exposure = primary + photometry.scatter * slow
    exposure = _blurred(exposure, photometry.blur_mm / spacing_mm)
    if photometry.blade_grey < 0:
        exposure = np.where(blades, exposure, 0.02 + 0.05 * slow)
    grain = photometry.noise * np.sqrt(np.maximum(exposure, 1e-4)) * rng.standard_normal(exposure.shape)
    exposure = np.maximum(exposure + grain, 1e-4).astype(np.float32)
    signal = -np.log(exposure) if photometry.logarithmic else -exposure
    tissue = blades & (lengths[Layer.SKIN] > 1)
    display = _display(signal, tissue if tissue.mean() > 0.05 else blades, spacing_mm, photometry)
    if photometry.blade_grey >= 0:
        display[~blades] = photometry.blade_grey
    return _with_marker(display, photometry, rng), blades


def _attenuation(
    lengths: Mapping[Layer, FloatImage], spacing_mm: float, photometry: Photometry, rng: np.random.Generator
) -> FloatImage:
    """Line integral of attenuation, without unit."""
    shape = lengths[Layer.SKIN].shape
    skin = lengths[Layer.SKIN]
    muscle = np.minimum(lengths[Layer.MUSCLE], skin)
    fat = skin - muscle
    uneven = 1 + photometry.texture * smooth_noise(shape, 18.0 / spacing_mm, rng, stretch=2.5)
    planes = photometry.fat_planes_mm * _ridges(shape, spacing_mm, rng) * (muscle > 20)
    total = muscle * uneven + photometry.fat_ratio * fat - (1 - photometry.fat_ratio) * planes
    for outer, inner in ((Layer.FEMUR, Layer.FEMUR_CORE), (Layer.BONE, Layer.BONE_CORE)):
        core = np.minimum(lengths[inner], lengths[outer])
        spongy = _trabeculae(shape, spacing_mm, photometry, rng)
        total = total + (photometry.cortical_ratio - 1) * (lengths[outer] - core)
        total = total + (photometry.core_ratio - 1) * core * spongy
    total = total - _gas(lengths[Layer.TRUNK], spacing_mm, photometry, rng)
    return np.asarray(np.maximum(photometry.muscle * total, 0), dtype=np.float32)


def smooth_noise(
    shape: tuple[int, ...], sigma_pixels: float, rng: np.random.Generator, *, stretch: float = 1.0
) -> FloatImage:
    """A Gaussian random field of unit variance; `stretch` makes it longer along the rows' direction (down)."""
    rows, columns = (
        max(int(np.ceil(n / max(s, 1.0))) + 3, 4)
        for n, s in zip(shape, (sigma_pixels * stretch, sigma_pixels), strict=True)
    )
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    field = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field / max(float(field.std()), 1e-6), dtype=np.float32)


def _ridges(shape: tuple[int, ...], spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """Thin long streaks where a smooth field crosses zero: what fat between muscles looks like."""
    field = smooth_noise(shape, rng.uniform(14, 40) / spacing_mm, rng, stretch=4.0)
    return np.asarray(np.exp(-((field / rng.uniform(0.04, 0.2)) ** 2)), dtype=np.float32)


def _trabeculae(
    shape: tuple[int, ...], spacing_mm: float, photometry: Photometry, rng: np.random.Generator
) -> FloatImage:
    coarse = smooth_noise(shape, 6.0 / spacing_mm, rng)
    fine = smooth_noise(shape, 1.2 / spacing_mm, rng, stretch=2.0)
    return np.maximum(1 + photometry.trabeculae * (0.5 * coarse + 0.5 * fine), 0).astype(np.float32)


def _gas(trunk: FloatImage, spacing_mm: float, photometry: Photometry, rng: np.random.Generator) -> FloatImage:
    """Bubbles inside the trunk, in mm of missing tissue."""
    if photometry.gas_mm == 0 or not (trunk > 100).any():
        return np.zeros_like(trunk)
    field = smooth_noise(trunk.shape, rng.uniform(10, 25) / spacing_mm, rng)
    bubbles = np.clip((field - rng.uniform(0.6, 1.4)) * 1.5, 0, 1)
    return np.asarray(photometry.gas_mm * bubbles * np.clip((trunk - 100) / 60, 0, 1), dtype=np.float32)


def _objects(shape: tuple[int, ...], spacing_mm: float, photometry: Photometry, rng: np.random.Generator) -> FloatImage:
    """Attenuation of foreign objects, drawn as lines and discs."""
    total = np.zeros(shape, dtype=np.float32)
    for _ in range(photometry.objects):
        canvas = np.zeros(shape, dtype=np.uint8)
        first, second = (rng.uniform([0, 0], [shape[1], shape[0]]).astype(int).tolist() for _ in range(2))
        strength = float(rng.uniform(0.1, 2.0))
        if rng.random() < 0.6:
            cv2.line(canvas, first, second, 255, max(1, round(rng.uniform(0.5, 4) / spacing_mm)), cv2.LINE_AA)
        else:
            cv2.circle(canvas, first, max(2, round(rng.uniform(2, 12) / spacing_mm)), 255, -1, cv2.LINE_AA)
        total += strength / 255 * canvas
    return total


def _blurred(image: FloatImage, sigma_pixels: float) -> FloatImage:
    if sigma_pixels < 0.15:
        return image
    if sigma_pixels < 8:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_pixels, borderType=cv2.BORDER_REFLECT))
    shrink = sigma_pixels / 3
    size = tuple(max(int(n / shrink), 4) for n in image.shape[::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small, (0, 0), sigma_pixels * size[0] / image.shape[1], borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(smooth, image.shape[::-1], interpolation=cv2.INTER_CUBIC))


def _display(signal: FloatImage, shown: BoolImage, spacing_mm: float, photometry: Photometry) -> FloatImage:
    """Window, compress, sharpen and bend the signal as a workstation does."""
    if photometry.compression:
        slow = _blurred(signal, 35.0 / spacing_mm)
        signal = signal - photometry.compression * (slow - slow.mean())
    if photometry.edge_gain:
        signal = signal + photometry.edge_gain * (signal - _blurred(signal, photometry.edge_mm / spacing_mm))
    low, high = np.percentile(signal[shown], photometry.window)
    scaled = np.clip((signal - low) / max(float(high - low), 1e-6), 0, 1) ** photometry.gamma
    curved = scaled * scaled * (3 - 2 * scaled)
    return np.asarray((1 - photometry.sigmoid) * scaled + photometry.sigmoid * curved, dtype=np.float32)


def _blades(shape: tuple[int, ...], photometry: Photometry, rng: np.random.Generator) -> BoolImage:
    """The field between the collimator's blades, slightly turned against the detector."""
    if not photometry.collimated:
        return np.ones(shape, dtype=np.bool_)
    rows, columns = shape
    left, right = rng.uniform(0, 0.13, 2) * columns * (rng.random(2) < 0.8)
    top, bottom = rng.uniform(0, 0.10, 2) * rows * (rng.random(2) < 0.7)
    corners = np.array([[left, top], [columns - right, top], [columns - right, rows - bottom], [left, rows - bottom]])
    angle = np.radians(rng.normal(0, 1.2) if rng.random() < 0.5 else 0.0)
    middle = corners.mean(axis=0)
    turned = middle + (corners - middle) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    canvas = np.zeros(shape, dtype=np.uint8)
    cv2.fillConvexPoly(canvas, np.round(turned).astype(np.int32), 1)
    return canvas.astype(np.bool_)


def _with_marker(display: FloatImage, photometry: Photometry, rng: np.random.Generator) -> FloatImage:
    """A lead letter, or an annotation, near the picture's edge."""
    if not photometry.marker:
        return display
    rows, columns = display.shape
    scale = min(rows, columns) / 320 * rng.uniform(0.5, 1.1)
    x = float(rng.choice([rng.uniform(0.02, 0.15), rng.uniform(0.78, 0.92)])) * columns
    y = rng.uniform(0.06, 0.95) * rows
    grey = float(rng.uniform(0.75, 1.0))
    thickness = max(1, round(2 * scale))
    place = (int(x), int(y))
    ink = np.zeros(display.shape, dtype=np.uint8)
    cv2.putText(ink, photometry.marker, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
    cover = ink.astype(np.float32) / 255
    return np.asarray(display * (1 - cover) + grey * cover, dtype=np.float32)
