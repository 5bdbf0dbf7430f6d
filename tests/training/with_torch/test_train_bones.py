"""The network of many bones goes on from the femur's trunk, and learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.training.bone_dataset import render
from models.training.bones import Kind
from models.training.fields import BoneField
from models.training.networks import PerceptionNet
from models.training.train_bones import BonesNet, bone_batches, evaluate, learn_from, loss, start_from, train
from pipeline.radiograph import Side
from pipeline.stages.perceive import BONES, POINTS, Landmark
from tests.training.whole_body import someone

SMALL = ((1.01, 96, 112, 4),)


@pytest.fixture(scope="module")
def shadows():
    rng = np.random.default_rng(1)
    return [render([someone()], rng, field=field, size=128) for field in (BoneField.PELVIS_AP, BoneField.KNEE_AP)]


def test_the_trunk_comes_from_the_femurs_network():
    torch.manual_seed(0)
    femur, bones = PerceptionNet(), BonesNet()
    start_from(bones, femur.state_dict())
    kept = bones.state_dict()
    for name, value in femur.state_dict().items():
        assert name.startswith("head.") or torch.equal(kept[name], value)
    assert kept["head.bias"].shape == (4 * (len(BONES) + len(POINTS)),)


def test_both_femora_look_to_begin_with_as_the_femurs_network_saw_one():
    torch.manual_seed(0)
    femur, bones, image = PerceptionNet(), BonesNet(), torch.randn(1, 1, 64, 48)
    start_from(bones, femur.state_dict())
    one, many = femur.eval()(image)[0], bones.eval()(image)[0]
    for side in Side:
        assert torch.allclose(many[BONES.index((Kind.FEMUR, side))], one[0])
        notch = len(BONES) + POINTS.index(((Kind.FEMUR, side), Landmark.INTERCONDYLAR_NOTCH))
        assert torch.allclose(many[notch], one[1 + list(Landmark).index(Landmark.INTERCONDYLAR_NOTCH)])


def test_a_training_goes_on_from_its_own_checkpoint():
    torch.manual_seed(0)
    first, second = BonesNet(), BonesNet()
    start_from(second, first.state_dict())
    image = torch.zeros(1, 1, 64, 48)
    assert torch.equal(first.eval()(image), second.eval()(image))
    assert first(image).shape == (1, len(BONES) + len(POINTS), 64, 48)


def test_a_right_answer_costs_less_than_a_wrong_one(shadows):
    _, targets = bone_batches(shadows, 0, sizes=SMALL).draw(0.0)
    right = 12 * (targets - 0.5)
    assert loss(right, targets) < 0.2 * loss(-right, targets)


def test_learning_from_a_batch_lowers_its_loss(shadows):
    torch.manual_seed(0)
    network = BonesNet((8, 12, 16, 24))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    batch = bone_batches(shadows, 0, sizes=SMALL).draw(0.0)
    losses = [learn_from(network, optimiser, batch) for _ in range(16)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_training_ends_when_its_progress_says_so_and_leaves_a_judgement(shadows, tmp_path):
    network = BonesNet((8, 12, 16, 24))
    batches = bone_batches(shadows, 0, sizes=SMALL)
    losses = train(network, batches, progress=lambda steps: steps / 2, out=tmp_path, resumed=False)
    assert len(losses) == 2
    assert set(evaluate(network, shadows, count=2)) >= {"femur"}
