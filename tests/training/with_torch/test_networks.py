"""The perception network's parts."""

import torch

from models.training.networks import Context


def test_looking_far_around_begins_as_the_identity():
    features = torch.relu(torch.randn(2, 8, 12, 12, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(Context(8)(features), features)
