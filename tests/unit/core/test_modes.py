"""Modes that are switched for a while come back, submodule by submodule; a state is loaded with versions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from n2nsurgery.core.outputs import device_of, evaluation_mode, load_state, not_finite


@pytest.fixture
def partly_frozen() -> nn.Module:
    """A network in train mode whose first BatchNorm its author has put into eval mode."""
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4), nn.Dropout()))
    module.train()
    module[1].eval()
    return module


def flags(module: nn.Module) -> list[bool]:
    return [part.training for part in module.modules()]


def test_a_frozen_batch_norm_is_still_frozen_after_an_evaluation(partly_frozen):
    before = flags(partly_frozen)
    with evaluation_mode(partly_frozen):
        assert not any(flags(partly_frozen))
    assert flags(partly_frozen) == before == [True, True, False, True, True, True]


def test_modes_come_back_after_an_error(partly_frozen):
    before = flags(partly_frozen)
    with pytest.raises(TypeError), evaluation_mode(partly_frozen):
        partly_frozen(None)
    assert flags(partly_frozen) == before


def test_several_modules_are_evaluated_together(partly_frozen):
    other = nn.Dropout()
    with evaluation_mode(partly_frozen, other):
        assert not any([*flags(partly_frozen), other.training])
    assert other.training


def test_the_device_is_that_of_the_first_parameter():
    assert device_of(nn.Linear(2, 2, device="meta")) == torch.device("meta")
    assert device_of(nn.ReLU()) is None


def test_a_state_without_versions_is_loaded_with_those_of_the_module():
    class Versioned(nn.Linear):
        _version = 2

        def _load_from_state_dict(self, state, prefix, metadata, *rest):
            assert metadata["version"] == 2
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    module = Versioned(1, 1)
    load_state(module, {"weight": torch.tensor([[3.0]]), "bias": torch.tensor([4.0])})
    assert module(torch.ones(1)).item() == 7.0
    with pytest.raises(RuntimeError, match="bias"):
        load_state(module, {"weight": torch.tensor([[3.0]])})


@pytest.mark.parametrize(
    "parameter",
    [nn.Parameter(torch.empty(2, device="meta")), nn.UninitializedParameter(), nn.Parameter(torch.eye(2).to_sparse())],
    ids=["meta", "lazy", "sparse"],
)
def test_parameters_without_values_in_a_dense_tensor_are_not_called_infinite(parameter):
    module = nn.Module()
    module.weight = parameter
    assert not_finite(module) is None
