"""What is not reconstructed: why, of which bone or radiograph, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.errors import RefusalCode
from pipeline.surface import Name


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A bone, a radiograph or a whole study that was not reconstructed.

    Attributes:
        code: Why, for programs.
        sentence: Why, for a radiologist.
        radiographs: Identifiers of the radiographs that this is about.
        bone: Which bone; None where it is about the radiographs as such.
    """

    code: RefusalCode
    sentence: str
    radiographs: tuple[str, ...]
    bone: Name | None = None


ADVICE: Final = {
    RefusalCode.NOT_A_RADIOGRAPH: "Send plain radiographs as the detector delivered them.",
    RefusalCode.WRONG_BODY_PART: "Send films of the pelvis, a hip, a thigh or a knee.",
    RefusalCode.CHILD: "Nothing can be done: children's bones are not reconstructed.",
    RefusalCode.METAL: "Send films of a side without metal by themselves, with their side in the header.",
    RefusalCode.CAST: "Send films that were taken without the cast.",
    RefusalCode.FRACTURE: "Send films of the unhurt side by themselves, with their side in the header.",
    RefusalCode.UNSUPPORTED_VIEW: "Send a lateral view too.",
    RefusalCode.POOR_IMAGE: "Send a film that shows more of the bone, with one of its joints in the field.",
    RefusalCode.POOR_FIT: "Check the side and the view in the header, or send another view.",
    RefusalCode.UNLIKELY_SHAPE: "Check the pixel spacing and the distances in the header.",
    RefusalCode.VIEWS_CONTRADICT: "Check that all films show the same patient and side, and the spacing of each.",
    RefusalCode.NO_SCALE: "Send films that say how large a pixel is, or type it in the viewer.",
}
"""What can be done, a sentence for each reason."""
