"""Masks belong to names: replaced parameters, loaded weights and copies are masked, or refused by name."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim import SGD

from n2nsurgery import PrunedModel, apply
from n2nsurgery.core.errors import UsageError


def non_zeros(pruned: PrunedModel) -> int:
    return sum(int(pruned.module.get_parameter(name).count_nonzero()) for name in pruned.masks)


def step(pruned: PrunedModel, optimizer: SGD, images: torch.Tensor) -> None:
    optimizer.zero_grad()
    pruned.module(images).square().sum().backward()
    optimizer.step()


def test_weights_of_other_masks_are_refused_before_anything_is_loaded(plain, images, pruned):
    other = apply(plain, density=0.3, example_inputs=images, seed=1)
    before = {name: value.clone() for name, value in pruned.module.state_dict().items()}
    with pytest.raises(
        UsageError, match=r"loaded weights lie outside the masks .*pruned with other masks.*n2nsurgery.load"
    ):
        pruned.module.load_state_dict(other.module.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in pruned.module.state_dict().items())
    pruned.module.load_state_dict(before)  # the guards stand as before
    assert non_zeros(pruned) == pruned.plan.budget.total


def test_weights_that_are_loaded_into_a_part_are_masked(pruned):
    part = pruned.module.conv1
    dense = {name: torch.ones_like(value) for name, value in part.state_dict().items()}
    with pytest.warns(UserWarning, match=r"in 'conv1.weight'. and are set to zero: a dense network was loaded"):
        part.load_state_dict(dense)
    assert torch.equal(part.weight != 0, pruned.masks["conv1.weight"])


def test_own_weights_load_without_a_word(pruned):
    pruned.module.load_state_dict(pruned.module.state_dict())
    assert non_zeros(pruned) == pruned.plan.budget.total


def test_a_parameter_that_takes_the_place_of_another_is_masked_from_the_next_step_on(pruned, images):
    pruned.module.conv1.weight = nn.Parameter(torch.ones_like(pruned.module.conv1.weight))
    optimizer = SGD(pruned.module.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        step(pruned, optimizer, images)
    mask = pruned.masks["conv1.weight"]
    assert not pruned.module.conv1.weight[~mask].any()
    assert not optimizer.state[pruned.module.conv1.weight]["momentum_buffer"][~mask].any()
    assert (pruned.module.conv1.weight[mask] != 1).any()


def test_the_optimizer_of_another_model_leaves_a_replaced_parameter_alone(pruned):
    pruned.module.conv1.weight = nn.Parameter(torch.ones_like(pruned.module.conv1.weight))
    other = nn.Linear(2, 2)
    other(torch.ones(1, 2)).sum().backward()
    SGD(other.parameters(), lr=0.1).step()
    assert (pruned.module.conv1.weight == 1).all()


def test_training_a_parametrized_weight_is_refused_with_its_name(pruned, images):
    weight_norm(pruned.module.conv1)
    optimizer = SGD(pruned.module.parameters(), lr=0.1)
    with pytest.raises(UsageError, match=r"^'conv1.weight' of the pruned module is no longer a parameter"):
        step(pruned, optimizer, images)


def test_a_copy_of_a_network_whose_pruned_weights_have_moved_is_told(pruned):
    mask = pruned.masks["conv1.weight"]
    pruned.module.conv1.weight.data.add_(1)
    expected = rf"{int((~mask).sum())} pruned weights have moved \(in 'conv1.weight'\) and are zero in the copy"
    with pytest.warns(UserWarning, match=expected):
        twin = copy.deepcopy(pruned.module)
    assert not twin.conv1.weight[~mask].any()


def test_masks_of_a_copy_follow_its_own_parameters(pruned, images):
    twin = copy.deepcopy(pruned.module)
    twin.conv1.weight = nn.Parameter(torch.ones_like(twin.conv1.weight))
    optimizer = SGD(twin.parameters(), lr=0.1)
    twin(images).square().sum().backward()
    optimizer.step()
    assert not twin.conv1.weight[~pruned.masks["conv1.weight"]].any()
    assert non_zeros(pruned) == pruned.plan.budget.total
