"""One small study from simulation to judgement, of a person who is the shape models' mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.training.bone_dataset import read_models
from models.training.evaluation.films import photograph
from models.training.evaluation.one_study import reconstructed_and_judged
from models.training.evaluation.plan import KNEE_AP, Person
from models.training.evaluation.results import blank
from models.training.evaluation.true_outlines import with_true_outlines
from pipeline.reconstruct import Models
from pipeline.stages.gate import CONTENTS, LOGITS, Content
from pipeline.stages.measure_definitions import ANATOMIES, DEFINITIONS
from tests.training.evaluation.made_up import study
from tests.training.whole_body import someone

NOBODY = Person(name="nobody", sex="F", fold=1)
STUDY = study(NOBODY, examination=KNEE_AP)


def sees(content: Content):
    """A gate that sees one thing in every picture, from the front."""
    answers = np.full((1, LOGITS), -9.0, dtype=np.float32)
    answers[0, CONTENTS.index(content)] = 9.0
    return lambda image: answers


def blind(image):
    raise AssertionError("true outlines take the networks' place")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return photograph(STUDY, someone(), (), tmp_path_factory.mktemp("films"))


def judged(films, content: Content):
    models = Models(gate=sees(content), femur=blind, bones=blind, shapes=read_models(), versions=())
    larger = replace(
        someone(),
        bones={name: bone.mapped(lambda points: points * 1.1) for name, bone in someone().bones.items()},
    )
    bodies = {"nobody": someone(), "somebody larger": larger}
    return reconstructed_and_judged(STUDY, films, with_true_outlines(models, films), bodies, blank(STUDY, "digest"))


@pytest.fixture(scope="module")
def result(films):
    return judged(films, Content.KNEE)


def test_the_mean_person_is_found_near_the_mean_and_far_from_another(result):
    femur, tibia = result.bones
    assert (femur.bone, tibia.bone) == ("femur_R", "tibia_R")
    for bone in result.bones:
        assert bone.refused == ""
        assert bone.asd < 1.0
        assert bone.mean_shape < 0.2 < bone.another
        assert bone.dice > 0.99
        assert bone.held > 0.8
        assert bone.half_width > 0
    assert result.cpu_seconds > 0
    assert result.scale_interval == pytest.approx(1.645 * 0.015)


def test_measurements_are_held_against_the_same_on_the_true_bone(result):
    (definition,) = (each for each in DEFINITIONS if each.name == "Tibial plateau width")
    model = read_models()[definition.parts[0].bone]
    mean = ANATOMIES[definition.parts[0].bone](landmarks=model.landmarks, regions=model.regions, vertices=model.mean)
    (width,) = (each for each in result.measurements if each.name == definition.name)
    assert width.truth == pytest.approx(definition.measured(mean), abs=0.05)
    assert width.error < 4
    assert width.holds


def test_what_the_gate_refuses_is_refused_here_too(films):
    result = judged(films, Content.CHILD)
    assert result.refused == "child"
    assert [bone.refused for bone in result.bones] == ["child", "child"]
