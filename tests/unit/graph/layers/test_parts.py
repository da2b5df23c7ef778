"""Gated units whose two halves are one product of a matrix: which half is a pre-activation."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace


class Gated(nn.Module):
    """A packed layer whose output `unit` makes one value of, with as many channels as it wants."""

    def __init__(self, packed: nn.Module, unit) -> None:
        super().__init__()
        self.packed, self.unit = packed, unit

    def forward(self, x: Tensor) -> Tensor:
        return self.unit(self.packed(x))


def first_gates(y: Tensor) -> Tensor:
    gate, value = y.chunk(2, -1)
    return F.silu(gate) * value


def second_gates(y: Tensor) -> Tensor:
    value, gate = y.split([4, 4], dim=-1)
    return value * F.gelu(gate)


def of_maps(y: Tensor) -> Tensor:
    value, gate = y.chunk(2, dim=1)
    return value * torch.relu(gate)


LINEAR, MAPS = nn.Linear(3, 8), nn.Conv2d(3, 8, 1)


@pytest.mark.parametrize(
    ("layer", "unit", "shape", "z", "a", "kind"),
    [
        (LINEAR, first_gates, (5, 3), ("getitem#0", (5, 4)), "silu#0", "SiLU"),
        (LINEAR, second_gates, (5, 3), ("getitem#1", (5, 4)), "gelu#0", "GELU"),
        (MAPS, of_maps, (3, 6, 6), ("getitem#1", (4, 6, 6)), "relu#0", "ReLU"),
    ],
)
def test_the_half_that_a_nonlinearity_reads_is_the_preactivation(layer, unit, shape, z, a, kind):
    found = layer_graph(trace(Gated(layer, unit), (torch.rand(2, *shape),))).layer("packed")
    assert (found.preactivation.address, found.preactivation.shape) == z
    assert (found.activation.address, found.nonlinearity.name) == (a, kind)
    assert (found.not_source, found.not_target) == (None, None)


def both_activated(y: Tensor) -> Tensor:
    first, second = y.chunk(2, -1)
    return torch.relu(first) + torch.relu(second)


def sigmoid_gates(y: Tensor) -> Tensor:
    value, gate = y.chunk(2, -1)
    return value * torch.sigmoid(gate)


def of_positions(y: Tensor) -> Tensor:
    first, second = y.split([2, 3], dim=1)
    return torch.cat([torch.relu(first), second], 1)


@pytest.mark.parametrize("unit", [both_activated, sigmoid_gates, of_positions])
def test_a_layer_is_whole_where_no_part_of_its_channels_is_the_one_that_is_activated(unit):
    found = layer_graph(trace(Gated(nn.Linear(3, 8), unit), (torch.rand(2, 5, 3),))).layer("packed")
    assert found.preactivation.shape == (5, 8)
    assert (found.activation, found.not_source) == (None, "no activation follows it")
