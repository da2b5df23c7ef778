"""Floors: what is kept in any case, exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from n2nsurgery.core.errors import BudgetError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks import Floors, draw_masks
from n2nsurgery.masks.counts.floors import channels_of
from n2nsurgery.masks.scoring.context import ScoreContext

ALIVE = Floors(alive=True)
SHAPES = {"stem": (4, 3, 3, 3), "depthwise": (6, 1, 3, 3), "up": (6, 2, 3, 3), "head": (5, 6)}
LAYOUTS = {"up": "conv_transpose", "head": "linear"}
WEIGHTS = tuple(
    PrunableWeight(
        name=f"{name}.weight",
        layer=name,
        shape=shape,
        layout=LAYOUTS.get(name, "conv"),
        groups=6 if name == "depthwise" else 1,
    )
    for name, shape in SHAPES.items()
)
CHANNELS = 4 + 6 + 2 + 5
SIZE = sum(weight.numel for weight in WEIGHTS)


class Planted:
    """A criterion that gives back the scores it holds."""

    needs = "weights"
    scope = "global"
    rounds = 1

    def __init__(self, scores):
        self._scores = scores

    def scores(self, context):  # noqa: ARG002 - the protocol's
        return self._scores


def drawn(scores, count, floors):
    return draw_masks(
        Planted(scores), WEIGHTS, count, context=ScoreContext(module=torch.nn.Identity(), weights=()), floors=floors
    )


def planted(seed: int, weak: str) -> dict[str, torch.Tensor]:
    """Random scores; those of one layer are a million times smaller."""
    generator = torch.Generator().manual_seed(seed)
    scores = {weight.name: torch.rand(weight.shape, generator=generator) for weight in WEIGHTS}
    scores[f"{weak}.weight"] *= 1e-6
    return scores


@settings(max_examples=60)
@given(count=st.integers(len(WEIGHTS), SIZE), seed=st.integers(0, 99), weak=st.sampled_from(sorted(SHAPES)))
def test_the_count_is_exact_no_layer_is_empty_and_as_many_channels_live_as_there_are_weights(count, seed, weak):
    result = drawn(planted(seed, weak), count, ALIVE)
    assert result.masks.kept == count
    assert min(result.masks.counts.values()) >= 1
    assert sum(line.outputs - line.dead for line in result.report) == min(count, CHANNELS)


def test_the_weights_kept_for_a_channel_are_its_best_and_the_rest_are_the_best_of_all():
    scores = planted(3, "head")
    kept = drawn(scores, 40, ALIVE).masks["head.weight"]
    assert kept.sum(1).tolist() == [1] * 5
    assert kept.int().argmax(1).tolist() == scores["head.weight"].argmax(1).tolist()
    free = drawn(scores, 40, Floors()).masks
    assert free.counts["head.weight"] == 0
    taken = [free[name] & ~mask for name, mask in drawn(scores, 40, ALIVE).masks.items()]
    given_up = torch.cat([scores[w.name][part] for w, part in zip(WEIGHTS, taken, strict=True)])
    left = torch.cat([scores[name][mask & free[name]] for name, mask in drawn(scores, 40, ALIVE).masks.items()])
    assert given_up.max() < left.sort().values[len(left) // 2]  # what gives way is at the weak end


def test_where_not_all_channels_can_live_those_with_the_best_scores_do():
    scores = planted(5, "stem")
    kept = drawn(scores, 10, ALIVE).masks
    counts = Floors(alive=True).least(WEIGHTS, 10)
    assert kept.counts == counts
    assert sum(counts.values()) == 10
    best = scores["head.weight"].max(1).values
    served = kept["head.weight"].any(1)
    assert best[served].min() > best[~served].max()


def test_explicit_floors_hold_beside_it():
    floors = Floors(per_layer=7, per_channel=2, alive=True)
    assert floors.least(WEIGHTS, 100) == {
        "stem.weight": 8,
        "depthwise.weight": 12,
        "up.weight": 7,
        "head.weight": 10,
    }
    masks = drawn(planted(1, "up"), 37, floors).masks
    assert masks.counts == floors.least(WEIGHTS, 37)


def test_a_pattern_serves_every_channel():
    masks = draw_masks("random", WEIGHTS, CHANNELS, floors=ALIVE).masks
    assert masks.counts == {weight.name: channels_of(weight) for weight in WEIGHTS}
    assert [line.dead for line in draw_masks("random", WEIGHTS, CHANNELS, floors=ALIVE).report] == [0] * 4


def test_fewer_weights_than_layers_are_refused_with_the_numbers():
    with pytest.raises(BudgetError, match=f"3 weights cannot be kept: the floors ask for 4 and the layers have {SIZE}"):
        draw_masks("random", WEIGHTS, 3, floors=ALIVE)


def test_nothing_changes_while_it_is_off():
    scores = planted(0, "up")
    assert drawn(scores, 50, Floors()).masks == drawn(scores, 50, Floors(alive=False)).masks
    assert Floors().least(WEIGHTS, 50) == dict.fromkeys(scores, 0)
