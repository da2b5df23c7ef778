"""FORCE and Iterative SNIP against their definitions: a mask as a variable, differentiated where it is 0 too."""

from dataclasses import replace

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks import draw_masks, make_criterion


def half(context) -> dict[str, torch.Tensor]:
    """Every second weight."""
    return {w.name: torch.arange(w.numel).reshape(w.shape) % 2 == 0 for w in context.weights}


def test_pruned_weights_are_scored_by_what_bringing_them_back_would_change(context, by_definition):
    kept = half(context)
    scores = make_criterion("force").scores(replace(context, kept=kept))
    for name, expected in by_definition(kept).items():
        # Computed in float64 both times, then rounded once to float32 (relative error 6e-8).
        torch.testing.assert_close(scores[name].double(), expected, rtol=1e-6, atol=0)
    assert all(scores[name][~kept[name]].count_nonzero() for name in kept)


def by_rounds(context, by_definition, kept, counts, *, revives: bool) -> dict[str, torch.Tensor]:
    """The masks after rounds from `kept` on that keep `counts` of the weights, one after the other."""
    for count in counts:
        scores = by_definition(kept)
        flat = torch.cat([s.float().masked_fill(~kept[n] & (not revives), -1).flatten() for n, s in scores.items()])
        chosen = torch.zeros(flat.numel(), dtype=torch.bool)
        chosen[flat.argsort(descending=True)[:count]] = True
        parts = chosen.split([w.numel for w in context.weights])
        kept = {w.name: part.reshape(w.shape) for w, part in zip(context.weights, parts, strict=True)}
    return kept


@pytest.mark.parametrize(("name", "revives"), [("force", True), ("snip", False)])
def test_rounds_follow_the_exponential_schedule(context, by_definition, everything, name, revives):
    masks = draw_masks(make_criterion(name, rounds=3), context.weights, 31, context=context).masks
    size = sum(weight.numel for weight in context.weights)
    counts = [round(size * (31 / size) ** (done / 3)) for done in (1, 2)]
    assert counts == [78, 49]
    found = by_rounds(context, by_definition, everything, [*counts, 31], revives=revives)
    for weight, expected in found.items():
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
