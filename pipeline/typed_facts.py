"""What a person types about a radiograph because its file does not say it, or says it wrongly."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.radiograph import Radiograph, Side, View

SPACING_RANGE_MM = (0.02, 2.0)
"""Sizes of a pixel from the finest detector to a picture reduced for display."""


@dataclass(frozen=True, kw_only=True)
class TypedFacts:
    """What was typed about one radiograph; None where nothing was.

    Attributes:
        pixel_spacing_mm: Size of a pixel in the plane of the bone, mm.
        body_part: `FEMUR`, `HIP`, `KNEE`, ... as in BodyPartExamined (0018,0015).
        view: How the beam passed.
        side: Which side of the patient.
    """

    pixel_spacing_mm: float | None = None
    body_part: str | None = None
    view: View | None = None
    side: Side | None = None

    def __post_init__(self) -> None:
        spacing = self.pixel_spacing_mm
        if spacing is not None and not SPACING_RANGE_MM[0] <= spacing <= SPACING_RANGE_MM[1]:
            low, high = SPACING_RANGE_MM
            raise InputError(f"a pixel spacing of {spacing:g} mm is not plausible; give mm between {low} and {high}")

    @property
    def nothing(self) -> bool:
        """Whether nothing was typed."""
        return self == TypedFacts()

    def apply(self, radiograph: Radiograph) -> Radiograph:
        """The radiograph with what was typed in place of what its file said."""
        acquisition = radiograph.acquisition
        if self.pixel_spacing_mm is not None:
            acquisition = dataclasses.replace(
                acquisition,
                pixel_spacing=(self.pixel_spacing_mm, self.pixel_spacing_mm),
                pixel_spacing_calibrated=True,
                imager_pixel_spacing=None,
                typed=True,
            )
        return dataclasses.replace(
            radiograph,
            acquisition=acquisition,
            body_part=self.body_part.upper() if self.body_part else radiograph.body_part,
            view=self.view or radiograph.view,
            side=self.side or radiograph.side,
        )

    def choices(self) -> tuple[str, ...]:
        """What was typed, as `name=value`: another choice is another result."""
        return tuple(f"{name}={value}" for name, value in dataclasses.asdict(self).items() if value is not None)
