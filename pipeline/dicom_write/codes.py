"""The codes that results carry, and how they are written."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pipeline.errors import RefusalCode
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

RECONSTRUCTION: Final = Code("RECON3D", SCHEME, "Reconstruction of bones in 3D")
"""What is said not to have been done, with one of the reasons below."""

NOT_RECONSTRUCTED_CODES: Final = {
    RefusalCode.NOT_A_RADIOGRAPH: Code("NRNORADIOGRAPH", SCHEME, "Not reconstructed: no plain radiograph"),
    RefusalCode.WRONG_BODY_PART: Code("NRBODYPART", SCHEME, "Not reconstructed: no bone that the models know"),
    RefusalCode.CHILD: Code("NRCHILD", SCHEME, "Not reconstructed: a child"),
    RefusalCode.METAL: Code("NRIMPLANT", SCHEME, "Not reconstructed: implant"),
    RefusalCode.CAST: Code("NRCAST", SCHEME, "Not reconstructed: cast"),
    RefusalCode.FRACTURE: Code("NRFRACTURE", SCHEME, "Not reconstructed: displaced fracture"),
    RefusalCode.UNSUPPORTED_VIEW: Code("NRVIEW", SCHEME, "Not reconstructed: needs another view"),
    RefusalCode.POOR_IMAGE: Code("NRIMAGE", SCHEME, "Not reconstructed: too little can be made out"),
    RefusalCode.POOR_FIT: Code("NRFIT", SCHEME, "Not reconstructed: the outlines do not fit"),
    RefusalCode.UNLIKELY_SHAPE: Code("NRSHAPE", SCHEME, "Not reconstructed: unlike the bones that are known"),
    RefusalCode.VIEWS_CONTRADICT: Code("NRCONTRADICT", SCHEME, "Not reconstructed: the views contradict each other"),
    RefusalCode.NO_SCALE: Code("NRSCALE", SCHEME, "Not reconstructed: the size of a pixel is not known"),
}

FINDING_CODES: Final = {RefusalCode.METAL: codes.SCT.Implant}
"""What PS3.16 has a code for among the reasons; it has none for casts and for displaced fractures of these bones."""


def code_item(code: Code) -> Dataset:
    """A code as an item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
