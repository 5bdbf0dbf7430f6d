"""Which bone it is, and how it is called."""

import pytest

from pipeline.radiograph import Side
from pipeline.surface import Bone, bone_name, bone_title
from tests.factories import make_bone


@pytest.mark.parametrize(
    ("bone", "side", "name", "title"),
    [
        (Bone.FEMUR, Side.RIGHT, "femur_R", "Right femur"),
        (Bone.HIP_BONE, Side.LEFT, "hip_bone_L", "Left hip bone"),
        (Bone.SACRUM, None, "sacrum", "Sacrum"),
    ],
)
def test_a_bone_has_a_name_for_files_and_one_for_people(bone, side, name, title):
    assert (bone_name(bone, side), bone_title(bone, side)) == (name, title)


@pytest.mark.parametrize(("bone", "side"), [(Bone.SACRUM, Side.LEFT), (Bone.TIBIA, None)])
def test_a_sacrum_has_no_side_and_every_other_bone_has_one(bone, side):
    femur = make_bone()
    with pytest.raises(ValueError, match="side"):
        type(femur)(**{**vars(femur), "bone": bone, "side": side})
