"""SynFlow against path sums of a small linear network, and its promise: no layer collapses."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks import ScoreContext, draw_masks, make_criterion


def linear_layers(*widths: int) -> ScoreContext:
    """Linear layers without activation, and an example of their input whose values must not matter."""
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(*(nn.Linear(n_in, n_out, bias=False) for n_in, n_out in pairwise(widths)))
    with torch.no_grad():
        for layer in module:
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    weights = tuple(
        PrunableWeight(name=f"{i}.weight", layer=str(i), shape=(n_out, n_in), layout="linear")
        for i, (n_in, n_out) in enumerate(pairwise(widths))
    )
    return ScoreContext(module=module, weights=weights, batches=(((torch.full((5, widths[0]), torch.nan),), None),))


def test_a_score_is_the_sum_of_all_paths_through_the_weight():
    context = linear_layers(2, 3, 2)
    first, second = (layer.weight.detach().double().abs() for layer in context.module)
    scores = make_criterion("synflow").scores(context)
    # Products and sums of a few float64 numbers.
    torch.testing.assert_close(scores["0.weight"], first * second.sum(0)[:, None], rtol=1e-12, atol=0)
    torch.testing.assert_close(scores["1.weight"], second * first.sum(1)[None, :], rtol=1e-12, atol=0)


def test_batchnorm_scales_the_flow_by_its_running_statistics():
    context = linear_layers(2, 3, 2)
    first, norm, second = context.module[0], nn.BatchNorm1d(3), context.module[1]
    norm.running_var.fill_(4)
    norm.running_mean.fill_(5)
    with torch.no_grad():
        norm.weight.fill_(-3)
    weights = (context.weights[0], replace(context.weights[1], name="2.weight"))
    scores = make_criterion("synflow").scores(
        replace(context, module=nn.Sequential(first, norm, second), weights=weights)
    )
    scale = 3 / (4 + norm.eps) ** 0.5
    expected = first.weight.detach().double().abs() * second.weight.detach().double().abs().sum(0)[:, None] * scale
    torch.testing.assert_close(scores["0.weight"], expected, rtol=1e-12, atol=0)


def test_what_was_pruned_earlier_carries_no_flow():
    context = linear_layers(2, 3, 2)
    first, second = (layer.weight.detach().double().abs() for layer in context.module)
    mask = torch.tensor([[True, False, True], [True, False, False]])
    scores = make_criterion("synflow").scores(replace(context, kept={"1.weight": mask}))
    torch.testing.assert_close(scores["0.weight"], first * (second * mask).sum(0)[:, None], rtol=1e-12, atol=0)
    assert scores["0.weight"][1].count_nonzero() == 0


def test_iteration_saves_the_large_layer_that_one_round_empties():
    # Flow is conserved from layer to layer, so each of the 4,096 weights in the middle has little of it.
    context = linear_layers(4, 64, 64, 4)
    once, often = (
        draw_masks(make_criterion("synflow", rounds=rounds), context.weights, 30, context=context).masks
        for rounds in (1, 100)
    )
    assert once.counts["1.weight"] == 0
    assert min(often.counts.values()) >= 1
    assert (often["2.weight"].double() @ often["1.weight"].double() @ often["0.weight"].double()).any()


def test_an_infinite_flow_is_refused():
    context = linear_layers(2, 3, 2)
    with torch.no_grad():
        context.module[0].weight.fill_(torch.inf)
    with pytest.raises(UsageError, match="the synaptic flow is inf even in float64"):
        make_criterion("synflow").scores(context)


def test_an_example_input_is_needed():
    context = replace(linear_layers(2, 3, 2), batches=())
    with pytest.raises(UsageError, match="needs the shape of the inputs"):
        make_criterion("synflow").scores(context)
