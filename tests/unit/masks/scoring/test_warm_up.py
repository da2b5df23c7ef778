"""BatchNorm warm-up: running statistics of the scoring batches, with the weights as they are."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from n2nsurgery.masks import ScoreContext, make_criterion
from n2nsurgery.masks.scoring.context import batch_statistics, weight_values


def test_the_statistics_are_those_that_torch_computes_from_the_same_batches(context):
    module = copy.deepcopy(context.module)
    update_bn([inputs[0] for inputs, _ in context.batches], module)
    found = batch_statistics(context, weight_values(context))
    assert found.keys() == {"norm.running_mean", "norm.running_var"}
    for name, value in found.items():
        assert torch.equal(value, module.get_buffer(name))


def test_pruned_weights_count_as_zero(context):
    cut = {name: torch.zeros_like(value) for name, value in weight_values(context).items()}
    found = batch_statistics(context, cut)
    torch.testing.assert_close(found["norm.running_mean"], context.module.conv.bias.detach(), rtol=1e-12, atol=1e-12)
    assert found["norm.running_var"].abs().max() < 1e-20


@pytest.mark.parametrize("name", ["snip", "grasp", "force"])
def test_scores_are_those_of_eval_mode_with_these_statistics(context, name):
    scores = make_criterion(name, mode="warm-up").scores(context)
    warmed = copy.deepcopy(context.module)
    update_bn([inputs[0] for inputs, _ in context.batches], warmed)
    expected = make_criterion(name, mode="eval").scores(
        ScoreContext(module=warmed, weights=context.weights, batches=context.batches, seed=context.seed)
    )
    for key, score in scores.items():
        assert torch.equal(score, expected[key])


def test_the_network_stays_as_it_was(context):
    before = {name: value.clone() for name, value in context.module.state_dict().items()}
    make_criterion("snip", mode="warm-up").scores(context)
    assert all(torch.equal(value, before[name]) for name, value in context.module.state_dict().items())
    assert context.module.norm.momentum == 0.1
    assert all(part.training for part in context.module.modules())


def test_without_batchnorm_it_is_eval_mode(context):
    context.module.norm = nn.Identity()
    assert batch_statistics(context, weight_values(context)) == {}
    warmed, plain = (make_criterion("snip", mode=mode).scores(context) for mode in ("warm-up", "eval"))
    assert all(torch.equal(warmed[name], plain[name]) for name in plain)
