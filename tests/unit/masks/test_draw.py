from dataclasses import replace

import pytest
import torch

from n2nsurgery.core.errors import BudgetError, InternalError, UsageError
from n2nsurgery.masks import Floors, draw_masks, make_criterion
from n2nsurgery.masks.criteria.random import Random
from n2nsurgery.masks.draw import WeightReport


def test_a_name_or_a_value_names_the_criterion(context):
    by_name = draw_masks("rp", context.weights, 30, seed=5)
    assert by_name.masks == draw_masks(make_criterion("random"), context.weights, 30, seed=5).masks
    assert by_name.masks != draw_masks("rp", context.weights, 30, seed=6).masks


def test_removing_a_layer_does_not_change_the_pattern_of_another(context):
    both = draw_masks("rp", context.weights, 62, seed=5).masks
    count = both.counts["conv.weight"]
    alone = draw_masks("rp", context.weights[:1], count, seed=5).masks
    assert torch.equal(alone["conv.weight"], both["conv.weight"])


def test_the_report_counts_what_is_left(context):
    with torch.no_grad():
        context.module.conv.weight.mul_(1e-3)[0, 0, 0, 0] = 10
    drawn = draw_masks("magnitude", context.weights, 53, context=context)
    assert drawn.report[0] == WeightReport(name="conv.weight", kept=1, numel=72, outputs=4, dead=3)
    assert drawn.report[1] == WeightReport(name="depthwise.weight", kept=36, numel=36, outputs=4, dead=0)
    assert drawn.near_empty == ()


@pytest.mark.parametrize(
    ("outputs", "dead", "near_empty"), [(4, 4, True), (10, 9, True), (10, 8, False), (1, 0, False)]
)
def test_a_layer_is_near_empty_when_nine_tenths_of_its_outputs_are_silent(outputs, dead, near_empty):
    line = WeightReport(name="w", kept=outputs - dead, numel=100, outputs=outputs, dead=dead)
    assert line.near_empty == near_empty


def test_an_empty_layer_is_reported(context):
    with torch.no_grad():
        context.module.conv.weight.mul_(1e-6)
    drawn = draw_masks("magnitude", context.weights, 20, context=context)
    assert [line.name for line in drawn.near_empty] == ["conv.weight"]


@pytest.mark.parametrize("criterion", ["rp", "csp", "magnitude", make_criterion("magnitude", scope="layer")], ids=str)
def test_floors_hold_and_are_recorded(context, criterion):
    with torch.no_grad():
        context.module.conv.weight.mul_(1e-6)
    floors = Floors(per_layer=11, per_channel=2)
    drawn = draw_masks(criterion, context.weights, 34, context=context, floors=floors)
    assert drawn.floors == floors
    assert drawn.masks.kept == 34
    assert min(drawn.masks.counts.values()) >= 11
    assert all(mask.flatten(1).sum(1).min() >= 2 for mask in drawn.masks.values())


def test_a_floor_keeps_the_best_weights_of_its_channel(context):
    with torch.no_grad():
        context.module.conv.weight.mul_(1e-6)
    drawn = draw_masks("magnitude", context.weights, 34, context=context, floors=Floors(per_channel=2))
    values = context.module.conv.weight.detach().abs().flatten(1)
    assert torch.equal(
        drawn.masks["conv.weight"].flatten(1).nonzero()[:, 1].reshape(4, 2),
        values.topk(2, dim=1).indices.sort(dim=1).values,
    )


def test_the_scope_layer_gives_every_layer_the_same_density(context):
    drawn = draw_masks(make_criterion("snip", scope="layer"), context.weights, 31, context=context)
    assert drawn.masks.counts == {"conv.weight": 18, "depthwise.weight": 9, "second.weight": 4}


def test_layers_of_the_same_shape_get_different_patterns(context):
    first = context.weights[2]
    drawn = draw_masks("rp", [first, replace(first, name="twin")], 16)
    assert not torch.equal(drawn.masks["second.weight"], drawn.masks["twin"])


def test_what_a_round_pruned_stays_pruned(context):
    class Fickle:
        """Prefers the last weights at first and finds all equal afterwards."""

        needs, scope, rounds = "weights", "global", 3

        def scores(self, context):
            return {
                w.name: torch.arange(w.numel).view(w.shape) * (0.0 if context.kept else 1.0) for w in context.weights
            }

    mask = draw_masks(Fickle(), context.weights[:1], 9, context=context).masks["conv.weight"].flatten()
    assert mask.nonzero().flatten().tolist() == list(range(36, 45))  # 72, then the last 36, then the first 9 of these


def test_rounds_fall_exponentially_and_report_progress(context):
    seen = []
    draw_masks(
        make_criterion("synflow", rounds=4),
        context.weights,
        10,
        context=context,
        progress=lambda *step: seen.append(step),
    )
    assert seen == [("scoring", 0.25), ("scoring", 0.5), ("scoring", 0.75), ("scoring", 1.0)]


@pytest.mark.parametrize(
    ("count", "floors", "message"),
    [
        (125, Floors(), "125 weights cannot be kept: the floors ask for 0 and the layers have 124"),
        (-1, Floors(), "-1 weights cannot be kept"),
        (29, Floors(per_layer=10), "29 weights cannot be kept: the floors ask for 30"),
        (23, Floors(per_channel=2), "23 weights cannot be kept: the floors ask for 24"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(context, count, floors, message):
    with pytest.raises(BudgetError, match=message):
        draw_masks("rp", context.weights, count, floors=floors)


def test_a_score_without_a_context_is_refused(context):
    with pytest.raises(UsageError, match="Snip looks at batches: it needs a ScoreContext"):
        draw_masks("csp", context.weights, 10)


@pytest.mark.parametrize("floors", [{"per_layer": -1}, {"per_channel": -2}])
def test_negative_floors_are_refused(floors):
    with pytest.raises(UsageError, match="must not be negative"):
        Floors(**floors)


def test_a_criterion_that_misses_its_count_is_our_bug(context):
    class Forgetful(Random):
        def pattern(self, weight, count, generator):
            return super().pattern(weight, max(count - 1, 0), generator)

    with pytest.raises(InternalError, match="27 weights were kept where 30 were asked for"):
        draw_masks(Forgetful(), context.weights, 30)


def test_the_weights_given_are_the_ones_scored(context):
    drawn = draw_masks("csp", context.weights[:1], 7, context=replace(context, weights=()))
    assert drawn.masks.counts == {"conv.weight": 7}
