"""Two small networks, one plain and one residual, and the plain one after surgery."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery import PrunedModel, apply

WIDTH = 8


class Plain(nn.Module):
    """Five 3x3 convolutions with BatchNorm and ReLU, the third with stride 2, then a linear head with 4 outputs.

    One-to-one skips of length 3 run from conv0 to conv3 and from conv1 to conv4, over average pooling by 2.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        for index in range(5):
            c_in, stride = (3 if index == 0 else width), (2 if index == 2 else 1)
            self.add_module(f"conv{index}", nn.Conv2d(c_in, width, 3, padding=1, stride=stride, bias=False))
            self.add_module(f"norm{index}", nn.BatchNorm2d(width))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        for index in range(5):
            x = torch.relu(self.get_submodule(f"norm{index}")(self.get_submodule(f"conv{index}")(x)))
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    """A basic residual block; its two convolutions keep the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))) + x)


class Residual(nn.Module):
    """A stem, three basic blocks and a linear head."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(width) for _ in range(3)))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def seeded(build) -> nn.Module:
    """A module whose parameters do not depend on the tests that ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


@pytest.fixture
def plain() -> nn.Module:
    return seeded(Plain)


@pytest.fixture
def residual() -> nn.Module:
    return seeded(Residual)


@pytest.fixture(params=["plain", "residual"])
def either(request) -> nn.Module:
    """Each of the two networks in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([0, 1, 2, 3])


@pytest.fixture
def pruned(plain, images) -> PrunedModel:
    """The plain network at a density of 0.3, with its two one-to-one skips."""
    return apply(plain, density=0.3, example_inputs=images)
