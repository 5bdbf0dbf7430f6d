"""The codes that results carry, and how they are written."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pipeline.radiograph import Side
from pipeline.results import Unmeasured
from pipeline.surface import Bone

SCHEME: Final = "99BONECRAFT"
"""Of our own codes (PS3.16 8.2); their meanings are in docs/measurements.md."""

BONE_CODES: Final = {
    Bone.FEMUR: codes.SCT.Femur,
    Bone.HIP_BONE: codes.SCT.BoneStructureOfPelvis,
    Bone.SACRUM: codes.SCT.Sacrum,
    Bone.TIBIA: codes.SCT.Tibia,
    Bone.FIBULA: codes.SCT.Fibula,
    Bone.PATELLA: codes.SCT.Patella,
}
"""From CID 7304, the sacrum from CID 4031. No table of PS3.16 has the hip bone: "bone structure of pelvis" with a side
is the nearest, for ilium and ischium are parts of it; SegmentLabel says the bone."""

SIDE_CODES: Final = {Side.LEFT: codes.SCT.Left, Side.RIGHT: codes.SCT.Right}

UNITS: Final = {"mm": codes.UCUM.Millimeter, "deg": codes.UCUM.Degree}

EXPECTED_ERROR: Final = Code("EXPERR", SCHEME, "Expected mean error of the surface")
INFERRED: Final = Code("INFERRED", SCHEME, "Share of the surface that no radiograph shows")
ON_SURFACE: Final = Code("ONSURFACE", SCHEME, "On a surface reconstructed from radiographs")

UNMEASURED_CODES: Final = {
    Unmeasured.NO_SCALE: Code("NOSCALE", SCHEME, "Not measured: the size of a pixel is not known"),
    Unmeasured.NEEDS_LATERAL: Code("NOLATERAL", SCHEME, "Not measured: needs a lateral view"),
    Unmeasured.NEEDS_FRONTAL: Code("NOFRONTAL", SCHEME, "Not measured: needs a frontal view"),
    Unmeasured.FRONTAL_ONLY: Code("FRONTALONLY", SCHEME, "Not measured: frontal views do not show it"),
    Unmeasured.NEEDS_BONES: Code("NEEDSBONES", SCHEME, "Not measured: needs more bones on a radiograph"),
    Unmeasured.OUTSIDE_FIELD: Code("OUTSIDE", SCHEME, "Not measured: outside the field of view"),
}


def code_item(code: Code) -> Dataset:
    """A code as an item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
