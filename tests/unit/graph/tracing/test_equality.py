"""Holding a traced module against its original."""

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import TraceError
from n2nsurgery.graph.tracing.equality import require_equal
from n2nsurgery.graph.tracing.trace import trace

X = torch.linspace(-2, 2, 12).reshape(4, 3)


def traced(model: nn.Module):
    return trace(model, (X,)).module


def test_a_faithful_copy_passes_and_both_keep_their_modes():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3)).train()
    model[1].eval()
    twin = traced(model)
    modes = [module.training for root in (model, twin) for module in root.modules()]
    require_equal(model, twin, {"input": X})
    assert [module.training for root in (model, twin) for module in root.modules()] == modes
    assert int(model[2].num_batches_tracked) == 0


@pytest.mark.parametrize("planted", [1e-7, float("nan"), -0.5])
def test_a_planted_difference_is_found(planted):
    model = nn.Sequential(nn.Linear(3, 3))
    twin = traced(model)
    with torch.no_grad():
        twin.get_submodule("0").weight[0, 0] += planted
    with pytest.raises(TraceError, match="does not compute what the original does"):
        require_equal(model, twin, {"input": X + 1})


def test_equal_not_a_numbers_are_equal():
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt(), {"sign": x > 0}, "name"

    require_equal(Root(), traced(Root()), {"x": X})


def test_an_output_of_another_structure_is_found():
    class Root(nn.Module):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as nn.Sequential calls it
            return input, input

    with pytest.raises(TraceError, match="Root does not compute"):
        require_equal(Root(), traced(nn.Sequential(nn.Identity())), {"input": X})


def test_state_between_calls_is_found():
    class Momentum(nn.Module):
        """Adds what it saw in the call before."""

        def __init__(self) -> None:
            super().__init__()
            self.last = torch.zeros(3)

        def forward(self, x: Tensor) -> Tensor:
            y = x + self.last
            self.last = x.mean(0).detach()
            return y

    model = Momentum()
    model(X)
    model(X + 1)
    twin = traced(model)
    model(X + 2)
    with pytest.raises(TraceError, match="state between calls"):
        require_equal(model, twin, {"x": X})
