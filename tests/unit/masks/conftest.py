"""A tiny network with every kind of layer that scoring has to get right, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks import ScoreContext


class Tiny(nn.Module):
    """Convolution, BatchNorm, a depthwise convolution and two linear layers that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.depthwise(torch.relu(self.norm(self.conv(x)))).mean((2, 3))
        return self.second(torch.tanh(self.first(hidden)))


@pytest.fixture
def context() -> ScoreContext:
    """The tiny network with two batches of different size, one of them without targets."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Tiny().double()
        batches = (
            ((torch.randn(6, 2, 5, 5).double(),), torch.tensor([0, 1, 2, 3, 0, 1])),
            ((torch.randn(4, 2, 5, 5).double(),), None),
        )
    weights = (
        PrunableWeight(name="conv.weight", layer="conv", shape=(4, 2, 3, 3), layout="conv"),
        PrunableWeight(name="depthwise.weight", layer="depthwise", shape=(4, 1, 3, 3), layout="conv", groups=4),
        PrunableWeight(name="second.weight", layer="second", shape=(4, 4), layout="linear"),
    )
    return ScoreContext(module=module, weights=weights, batches=batches, seed=3)
