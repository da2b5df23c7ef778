"""What a model's code leaves behind is undone: weights that it writes to, in every way there is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery.graph.tracing import side_effects
from n2nsurgery.graph.tracing.side_effects import weights_unchanged


def by_method(weight: nn.Parameter) -> None:
    with torch.no_grad():
        weight.mul_(2)


def of_a_list(weight: nn.Parameter) -> None:
    with torch.no_grad():
        torch._foreach_add_([weight], 1.0)


def through_a_view(weight: nn.Parameter) -> None:
    weight.data[0].fill_(7)


def as_a_result(weight: nn.Parameter) -> None:
    torch.add(weight.data, 1, out=weight.data)


def by_other_memory(weight: nn.Parameter) -> None:
    weight.data = weight.data * 0.9


def by_other_memory_and_then_in_it(weight: nn.Parameter) -> None:
    weight.data[1] = 3
    weight.data = weight.data * 0.9
    weight.data.zero_()


WRITES = (by_method, of_a_list, through_a_view, as_a_result, by_other_memory, by_other_memory_and_then_in_it)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
def test_weights_that_code_writes_to_are_as_before_however_large_the_model_is(monkeypatch, write, large):
    if large:
        monkeypatch.setattr(side_effects, "_LARGE", 0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    before = {name: value.clone() for name, value in model.state_dict().items()}
    held = dict(model.named_parameters())
    with weights_unchanged(model):
        write(model[0].weight)
        assert not torch.equal(model[0].weight, before["0.weight"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(held[name] is parameter for name, parameter in model.named_parameters())


def test_of_a_large_model_only_what_is_written_to_is_copied(monkeypatch):
    copied = []
    monkeypatch.setattr(side_effects, "_LARGE", 0)
    clone = Tensor.clone
    monkeypatch.setattr(Tensor, "clone", lambda tensor: copied.append(tensor.shape) or clone(tensor))
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with weights_unchanged(model):
        model(torch.ones(4, 3)).sum().backward()
        by_method(model[1].weight)
    assert copied == [(2,)]
    assert model[1].weight.tolist() == [1, 1]
