"""Which modules and functions stay one node."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery.graph.tracing.leaves import depends_on_mode, is_leaf, is_norm, leaf_functions


class OwnConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class WithConv(nn.Conv2d):
    """A layer that has another one inside: it is looked into."""

    def __init__(self) -> None:
        super().__init__(3, 3, 1)
        self.gate = nn.Conv2d(3, 3, 1)


class RMSNormOfSomeone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))


class NormMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(3), nn.Linear(3, 3)


class NormTable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(3, 3))


class DropPath(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand(1) if self.training else x


class Block(nn.Module):
    """Reads its flag, but has weights that must be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) if self.training else x


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


LEAVES = [
    nn.Conv2d(3, 3, 1), nn.Linear(3, 3), nn.ConvTranspose3d(3, 3, 1), OwnConv(3, 3, 1), nn.ReLU(), nn.BatchNorm1d(3),
    nn.Dropout(), nn.MaxPool2d(2), nn.MultiheadAttention(4, 2), nn.LSTM(3, 3), RMSNormOfSomeone(), DropPath(),
    nn.Identity(), nn.Flatten(), nn.Embedding(3, 3),
]  # fmt: skip
LOOKED_INTO = [
    nn.Sequential(nn.ReLU()),
    nn.ModuleList(),
    nn.ModuleDict(),
    WithConv(),
    NormMLP(),
    NormTable(),
    Block(),
    Plain(),
]


@pytest.mark.parametrize("module", LEAVES, ids=lambda module: type(module).__name__)
def test_layers_and_everything_that_depends_on_the_mode_stay_one_node(module):
    assert is_leaf(module)


@pytest.mark.parametrize("module", LOOKED_INTO, ids=lambda module: type(module).__name__)
def test_containers_of_weights_are_looked_into(module):
    assert not is_leaf(module)


def test_norms_and_modes_are_told_by_what_a_module_holds_and_reads():
    norms = [RMSNormOfSomeone(), nn.GroupNorm(1, 3), NormMLP(), NormTable(), Plain()]
    assert [is_norm(module) for module in norms] == [True, True, False, False, False]
    assert [depends_on_mode(module) for module in (DropPath(), Block(), Plain())] == [True, False, False]


def test_functions_of_torchvision_and_timm_stay_one_node_where_they_are_loaded(monkeypatch):
    def stochastic_depth() -> None: ...

    def notrace() -> None: ...

    monkeypatch.setitem(sys.modules, "torchvision.ops", SimpleNamespace(stochastic_depth=stochastic_depth, Kind=Plain))
    monkeypatch.setitem(sys.modules, "timm.layers", SimpleNamespace(get_notrace_functions=lambda: [notrace]))
    assert leaf_functions() == (stochastic_depth, notrace)
    older = {"timm.layers": SimpleNamespace(), "timm.models._features_fx": sys.modules["timm.layers"]}
    monkeypatch.setitem(sys.modules, "timm.layers", older["timm.layers"])
    monkeypatch.setitem(sys.modules, "timm.models._features_fx", older["timm.models._features_fx"])
    assert leaf_functions() == (stochastic_depth, notrace)
    for name in ("torchvision.ops", *older):
        monkeypatch.setitem(sys.modules, name, None)
    assert leaf_functions() == ()
