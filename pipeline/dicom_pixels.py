"""A dataset's pixels as a light box shows them: decoded, through modality and VOI transformation, bone bright.

The grey-scale pipeline of PS3.4 N.2, with what real senders get wrong tolerated and noted.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.errors import BytesLengthException
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL, JPEGExtended12Bit, JPEGTransferSyntaxes

from pipeline.errors import InputError

FloatImage = npt.NDArray[np.float32]

MAX_PIXELS: Final = 100_000_000
"""More than a stitched long-leg radiograph at 0.1 mm has; beyond it a few bytes may pretend to be a huge picture."""

CODEC_ERRORS: Final = (ArithmeticError, AttributeError, BytesLengthException, EOFError, LookupError, OSError,
                       RuntimeError, struct.error, TypeError, ValueError)  # fmt: skip
"""What codecs raise on bytes that are not what their tags say."""

HIGH_THROUGHPUT_JPEG_2000: Final = (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)

LUMINANCE: Final = (0.299, 0.587, 0.114)
"""Rec. ITU-R BT.601, as in PS3.3 C.7.6.3.1.2 for YBR_FULL."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DisplayedPixels:
    """What a light box shows.

    Attributes:
        pixels: (rows, columns) float32, bone bright.
        was_colour: The pixels came in colour.
        notes: What was odd, in sentences.
    """

    pixels: FloatImage
    was_colour: bool
    notes: tuple[str, ...]


def displayed_pixels(dataset: Dataset) -> DisplayedPixels:
    """Decode a dataset's only frame.

    Raises:
        InputError: There are no pixels, more than a radiograph can have, or they cannot be decoded.
    """
    _check_size(dataset)
    _check_depth(dataset)
    stored = _decoded(dataset)
    if stored.ndim == 3:
        return DisplayedPixels(pixels=_grey(stored), was_colour=True, notes=("The picture came in colour.",))
    padding = _padding(dataset, stored)
    values, modality_note = _tolerantly(apply_modality_lut, "modality LUT or rescale", stored, dataset)
    if str(dataset.get("PresentationIntentType", "")).upper() == "FOR PROCESSING":
        shown, notes = _attenuation(dataset, values)
    else:
        shown, notes = _presentation(dataset, values)
    if padding is not None and not padding.all():
        shown = np.where(padding, shown[~padding].min(), shown)
    return DisplayedPixels(pixels=shown.astype(np.float32), was_colour=False, notes=modality_note + notes)


def stored_frame(dataset: Dataset, index: int) -> npt.NDArray[Any]:
    """A frame as it is coded, uncompressed and little endian: no LUT, no window, no change of colours.

    Raises:
        InputError: There is no such frame, or it cannot be decoded.
    """
    _check_size(dataset)
    try:
        decode = _own_decoder(dataset)
        if decode is None:
            frame = pixel_array(dataset, index=index, raw=True)
        else:
            coded = generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
            frame = decode(next(itertools.islice(coded, index, None)))
    except (*CODEC_ERRORS, StopIteration) as error:
        raise InputError("there is no such frame, or it cannot be decoded") from error
    return np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("<"))


def colour_frame(dataset: Dataset, index: int) -> npt.NDArray[np.uint8]:
    """A frame of a picture in colour as red, green, blue, 8 bits each.

    Raises:
        InputError: There is no such frame, or it cannot be decoded.
    """
    _check_size(dataset)
    try:
        return np.asarray(pixel_array(dataset, index=index), dtype=np.uint8)
    except CODEC_ERRORS as error:
        raise InputError("there is no such frame, or it cannot be decoded") from error


def _check_size(dataset: Dataset) -> None:
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if not rows or not columns or "PixelData" not in dataset:
        raise InputError("the file holds no picture (Rows, Columns or PixelData is missing); send the image itself")
    if rows * columns > MAX_PIXELS:
        raise InputError(f"{rows} × {columns} pixels are more than a radiograph has; send it in its acquired size")


def _check_depth(dataset: Dataset) -> None:
    """JPEG's samples have 16 bits at the most (PS3.5 8.2.1); GDCM ends the process where the tags claim more."""
    allocated = dataset.get("BitsAllocated")
    if dataset.file_meta.get("TransferSyntaxUID") in JPEGTransferSyntaxes and allocated not in (8, 16):
        raise InputError(f"samples in JPEG have 8 or 16 bits, not {allocated} (BitsAllocated); send the file again")


def _decoded(dataset: Dataset) -> npt.NDArray[Any]:
    """(rows, columns) stored values, or (rows, columns, 3) red, green, blue."""
    try:
        decode = _own_decoder(dataset)
        if decode is None:
            frame = dataset.pixel_array
        else:
            frame = decode(next(generate_frames(dataset.PixelData, number_of_frames=1)))
        if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
            frame = apply_color_lut(frame, dataset)
    except CODEC_ERRORS as error:
        name = getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", "an unnamed transfer syntax")
        raise InputError(f"the pixels cannot be decoded as {name}; send the file again or uncompressed") from error
    frame = frame[0] if frame.ndim == 4 or (frame.ndim == 3 and frame.shape[-1] not in (3, 4)) else frame
    if frame.shape[:2] != (dataset.Rows, dataset.Columns):
        raise InputError("the decoded picture has another size than Rows and Columns say; send the file again")
    return np.asarray(frame)


def _own_decoder(dataset: Dataset) -> Callable[[bytes], npt.NDArray[Any]] | None:
    """A decoder for what pydicom's plugins leave out: 12-bit JPEG Extended and High-Throughput JPEG 2000."""
    syntax = dataset.file_meta.TransferSyntaxUID
    decoder: Callable[[bytes], npt.NDArray[Any]] | None = None
    if syntax in HIGH_THROUGHPUT_JPEG_2000:
        decoder = imagecodecs.htj2k_decode
    elif syntax == JPEGExtended12Bit and dataset.BitsAllocated > 8:
        decoder = imagecodecs.jpeg8_decode
    return decoder


def _grey(colour: npt.NDArray[Any]) -> FloatImage:
    return np.asarray(colour[..., :3].astype(np.float32) @ np.array(LUMINANCE, dtype=np.float32))


def _padding(dataset: Dataset, stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Where the picture is filling and not image (PS3.3 C.7.5.1.1.2), None where nothing says so."""
    value = dataset.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((value, limit if isinstance(limit, int) else value))
    return np.asarray((stored >= low) & (stored <= high))


def _attenuation(dataset: Dataset, values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Raw detector values as the logarithm of what the body took away (PS3.3 C.8.11.3.1.2)."""
    relationship = str(dataset.get("PixelIntensityRelationship", "LIN")).upper()
    sign = dataset.get("PixelIntensityRelationshipSign")
    bone_is_bright = sign == -1 if sign in (1, -1) else dataset.get("PhotometricInterpretation") == "MONOCHROME2"
    intensity = np.asarray(values, dtype=np.float64)
    if relationship == "LIN":
        intensity = intensity.max() - intensity if bone_is_bright else intensity - intensity.min()
        scale = max(float(np.percentile(intensity, 99)), 1.0)
        return -np.log(intensity / scale + 1e-3), ("The picture is FOR PROCESSING: its logarithm was taken.",)
    return intensity if bone_is_bright else -intensity, ("The picture is FOR PROCESSING.",)


def _presentation(dataset: Dataset, values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Through the first VOI LUT or window, MONOCHROME1 turned over (PS3.3 C.7.6.3.1.2)."""
    shown, notes = _tolerantly(apply_voi_lut, "VOI LUT or window", values, dataset)
    low, high = np.percentile(shown, [1, 99])
    if high <= low and np.ptp(values) > 0:
        shown, notes = values, (*notes, "The window shows nothing of the picture and was ignored.")
    shown = np.asarray(shown, dtype=np.float64)
    inverse = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    if (shape := dataset.get("PresentationLUTShape")) and (shape == "INVERSE") != inverse:
        notes = (*notes, "PresentationLUTShape contradicts PhotometricInterpretation, which was believed.")
    return (-shown if inverse else shown), notes


def _tolerantly(
    transform: Callable[[npt.NDArray[Any], Dataset], npt.NDArray[Any]],
    what: str,
    values: npt.NDArray[Any],
    dataset: Dataset,
) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """The transformation's result; without it, and with a note, where its tags are broken."""
    try:
        transformed = transform(values, dataset)
    except CODEC_ERRORS:
        return values, (f"The {what} is not valid and was ignored.",)
    finite = np.isfinite(transformed).all()
    return (transformed, ()) if finite else (values, (f"The {what} is not valid and was ignored.",))
