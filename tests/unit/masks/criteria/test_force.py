"""FORCE and Iterative SNIP against their definitions: a mask as a variable, differentiated where it is 0 too."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.func import functional_call

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.masks import draw_masks, make_criterion
from n2nsurgery.masks.scoring.loss import cross_entropy

REAL = {"conv.weight": "conv.weight", "depthwise.weight": "depthwise.weight", "second.weight": "first.weight"}


def half(context) -> dict[str, torch.Tensor]:
    """Every second weight."""
    return {w.name: torch.arange(w.numel).reshape(w.shape) % 2 == 0 for w in context.weights}


def by_definition(context, kept) -> dict[str, torch.Tensor]:
    """|dL/dc| / sum |dL/dc| at c = `kept`, in train mode."""
    module = copy.deepcopy(context.module)
    parameters = dict(module.named_parameters())
    c = {name: kept[name].double().requires_grad_() for name in REAL}
    masked = {real: parameters[real].detach() * c[name] for name, real in REAL.items()}
    logits = [functional_call(module, parameters | masked, inputs) for inputs, _ in context.batches]
    guessed = torch.randint(4, (4,), generator=torch_generator(context.seed, "labels", "1"))
    loss = (cross_entropy(logits[0], context.batches[0][1]) + cross_entropy(logits[1], guessed)) / 2
    slopes = torch.autograd.grad(loss, list(c.values()))
    total = sum(slope.abs().sum() for slope in slopes)
    return {name: slope.abs() / total for name, slope in zip(c, slopes, strict=True)}


def test_pruned_weights_are_scored_by_what_bringing_them_back_would_change(context):
    kept = half(context)
    scores = make_criterion("force").scores(replace(context, kept=kept))
    for name, expected in by_definition(context, kept).items():
        # Computed in float64 both times, then rounded once to float32 (relative error 6e-8).
        torch.testing.assert_close(scores[name].double(), expected, rtol=1e-6, atol=0)
    assert all(scores[name][~kept[name]].count_nonzero() for name in kept)


def by_rounds(context, counts, *, revives: bool) -> dict[str, torch.Tensor]:
    """The masks after rounds that keep `counts` of the weights, one after the other."""
    kept = {w.name: torch.ones(w.shape, dtype=torch.bool) for w in context.weights}
    for count in counts:
        scores = by_definition(context, kept)
        flat = torch.cat([s.float().masked_fill(~kept[n] & (not revives), -1).flatten() for n, s in scores.items()])
        chosen = torch.zeros(flat.numel(), dtype=torch.bool)
        chosen[flat.argsort(descending=True)[:count]] = True
        parts = chosen.split([w.numel for w in context.weights])
        kept = {w.name: part.reshape(w.shape) for w, part in zip(context.weights, parts, strict=True)}
    return kept


@pytest.mark.parametrize(("name", "revives"), [("force", True), ("snip", False)])
def test_rounds_follow_the_exponential_schedule(context, name, revives):
    masks = draw_masks(make_criterion(name, rounds=3), context.weights, 31, context=context).masks
    size = sum(weight.numel for weight in context.weights)
    counts = [round(size * (31 / size) ** (done / 3)) for done in (1, 2)]
    assert counts == [78, 49]
    for weight, expected in by_rounds(context, [*counts, 31], revives=revives).items():
        assert torch.equal(masks[weight], expected)


def test_weights_come_back_under_force_alone(context):
    def second_round(name):
        criterion = make_criterion(name, rounds=2)
        size = sum(weight.numel for weight in context.weights)
        first = draw_masks(
            name if name == "snip" else "snip", context.weights, round((size * 20) ** 0.5), context=context
        )
        last = draw_masks(criterion, context.weights, 20, context=context)
        return sum(int((last.masks[key] & ~first.masks[key]).sum()) for key in last.masks)

    assert second_round("snip") == 0
    assert second_round("force") > 0


def test_one_round_is_snip(context):
    once = draw_masks(make_criterion("force", rounds=1), context.weights, 31, context=context).masks
    assert once == draw_masks("snip", context.weights, 31, context=context).masks


def test_a_network_that_earlier_rounds_have_cut_is_named_as_that(context):
    kept = half(context) | {"depthwise.weight": torch.zeros(4, 1, 3, 3, dtype=torch.bool)}
    context.module.depthwise.bias.data.zero_()
    context.module.first.bias.data.zero_()
    kept["second.weight"] = torch.zeros(4, 4, dtype=torch.bool)
    with pytest.raises(
        UsageError, match="passes no signal, so nothing can be scored: set keep_alive, take more rounds"
    ):
        make_criterion("force").scores(replace(context, kept=kept))


@pytest.mark.parametrize("name", ["force", "snip"])
def test_fewer_than_one_round_are_refused(name):
    with pytest.raises(UsageError, match=r"rounds is 0; .* needs at least 1"):
        make_criterion(name, rounds=0)
