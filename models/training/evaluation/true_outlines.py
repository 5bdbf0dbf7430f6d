"""Networks that see every bone's shadow exactly and no landmarks: what the fit alone can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from models.training.evaluation.films import Film
from pipeline.dicom_read import read_radiograph
from pipeline.reconstruct import Models
from pipeline.stages.enhance import FloatImage, enhance, to_working_grid
from pipeline.stages.perceive import BONES, LANDMARKS, MIRRORED_BONES, POINTS
from pipeline.surface import Bone

SURE: Final = 30.0
"""Logit of what is certain."""


class TrueOutlines:
    """The simulator's shadows in place of a network's answer, told apart by the picture that is asked about.

    Args:
        films: Of a study.
    """

    def __init__(self, films: Sequence[Film]) -> None:
        self._known: dict[bytes, FloatImage] = {}
        for film in films:
            radiograph = read_radiograph(film.path)
            for sign in (1, -1):  # a film that the gate takes for a negative is turned over
                image = enhance(replace(radiograph, pixels=sign * radiograph.pixels)).image
                shadows = np.stack([to_working_grid(film.shadow(looks), max(image.shape))[0] for looks in BONES])
                padded = _padded(image)
                self._known[_key(padded)] = _padded(shadows)
                self._known[_key(padded[:, ::-1])] = _padded(shadows)[MIRRORED_BONES, :, ::-1]

    def bones(self, image: FloatImage) -> FloatImage:
        """In place of the network of many bones."""
        return self._answer(self._shadows(image), len(POINTS))

    def femur(self, image: FloatImage) -> FloatImage:
        """In place of the network of a single femur."""
        shadows = self._shadows(image)
        either = [shadow for (bone, _), shadow in zip(BONES, shadows, strict=True) if bone is Bone.FEMUR]
        return self._answer(np.maximum(*either)[None], len(LANDMARKS))

    def _shadows(self, image: FloatImage) -> FloatImage:
        found = self._known.get(_key(image[0, 0]))
        if found is None:
            raise ValueError("this picture is of no film of the study: it cannot be told what is true of it")
        return found

    def _answer(self, shadows: FloatImage, landmarks: int) -> FloatImage:
        masks = np.log(np.clip(shadows, 1e-6, 1 - 1e-6)) - np.log(np.clip(1 - shadows, 1e-6, 1 - 1e-6))
        nowhere = np.full((landmarks, *shadows.shape[1:]), -SURE, dtype=np.float32)
        return np.concatenate([masks, nowhere])[None].astype(np.float32)


def _padded(image: FloatImage) -> FloatImage:
    """To multiples of 16, as the perception does (`pipeline.stages.perceive`)."""
    rows, columns = image.shape[-2:]
    around = [(0, 0)] * (image.ndim - 2)
    return np.pad(image, (*around, (0, -rows % 16), (0, -columns % 16)))


def _key(image: FloatImage) -> bytes:
    return np.ascontiguousarray(image).tobytes()


def with_true_outlines(models: Models, films: Sequence[Film]) -> Models:
    """The models with the truth for their eyes."""
    truth = TrueOutlines(films)
    return replace(models, bones=truth.bones, femur=truth.femur)
