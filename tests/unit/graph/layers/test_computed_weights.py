"""Layers whose weight is not the one that multiplies: which of them stay dense, and with what reason."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from n2nsurgery.core.errors import TraceError
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace


def test_a_weight_that_is_computed_from_more_than_itself_is_kept_dense():
    class Modulated(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight * x.mean())

    class Scaled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight * 0.5

    model = nn.Sequential(Modulated(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    parametrize.register_parametrization(model[2], "weight", Scaled())
    graph = layer_graph(trace(model, [torch.zeros(2, 3, 8, 8)]))
    assert [weight.name for weight in graph.weights] == ["4.weight"]
    assert [(dense.name, dense.reason) for dense in graph.left] == [
        ("0.weight", "its layer computes the weight that it uses from this one: kept dense, not counted"),
        (
            "2.parametrizations.weight.original",
            (
                "its layer computes its weight from this one (Scaled), "
                "which torch.nn.utils.parametrize.remove_parametrizations ends: kept dense, not counted"
            ),
        ),
    ]


def test_a_product_of_two_parameters_is_not_a_use_of_them():
    class LowRank(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 5)
            self.down, self.up = nn.Parameter(torch.zeros(2, 4)), nn.Parameter(torch.zeros(5, 2))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight + self.up @ self.down, self.bias)

    graph = layer_graph(trace(nn.Sequential(LowRank(), nn.Linear(5, 2)), [torch.zeros(2, 4)]))
    assert [weight.name for weight in graph.weights] == ["1.weight"]
    assert [dense.name for dense in graph.left] == ["0.weight", "0.down", "0.up"]


def test_a_layer_with_a_forward_of_its_own_that_multiplies_with_its_weight_is_pruned():
    class Padded(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight)

    graph = layer_graph(trace(nn.Sequential(Padded(3, 4, 3)), [torch.zeros(2, 3, 8, 8)]))
    assert [weight.name for weight in graph.weights] == ["0.weight"]


def test_a_model_with_weights_that_hooks_compute_is_refused_as_it_cannot_be_copied():
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.warns(FutureWarning, match="weight_norm"):
        torch.nn.utils.weight_norm(model[0])
    with pytest.raises(TraceError, match=r"Sequential keeps tensors .* cannot be copied: '0.weight'"):
        trace(model, (torch.zeros(2, 3),))
