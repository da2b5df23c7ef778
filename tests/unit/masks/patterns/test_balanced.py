import numpy as np
import pytest
import torch

from n2nsurgery.core.errors import BudgetError, UnknownNameError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks import balanced_mask, one_to_one


def weight(*shape: int, layout: str = "conv", groups: int = 1) -> PrunableWeight:
    return PrunableWeight(name="w", layer="w", shape=shape, layout=layout, groups=groups)


@pytest.mark.parametrize("layer", [weight(3, 4, 1, 2), weight(6, 2, 2, groups=3)], ids=["dense", "grouped"])
def test_every_position_is_equally_likely(layer):
    draws = 4000
    generator = np.random.default_rng(0)
    kept = sum(balanced_mask(layer, 7, generator).int() for _ in range(draws))
    expected = 7 / 24
    # Each position is a Bernoulli variable; 5 standard deviations over 24 positions fail once in 70,000 runs.
    assert (kept / draws - expected).abs().max() < 5 * np.sqrt(expected * (1 - expected) / draws)


def test_every_balanced_choice_of_a_small_weight_is_drawn():
    generator = np.random.default_rng(0)
    drawn = {tuple(balanced_mask(weight(3, 3, layout="linear"), 3, generator).flatten().tolist()) for _ in range(300)}
    assert len(drawn) == 6  # the permutation matrices


def test_hands_that_span_two_decks_hold_no_channel_twice():
    # 3 of 5 inputs for each of 20 outputs: every other hand spans two decks.
    mask = balanced_mask(weight(20, 5, layout="linear"), 60, np.random.default_rng(0))
    assert mask.sum(1).tolist() == [3] * 20
    assert mask.sum(0).tolist() == [12] * 5


def test_different_generators_draw_different_patterns():
    first, second = (balanced_mask(weight(16, 16), 64, np.random.default_rng(seed)) for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("granularity", ["weight", "kernel", "block1x4"])
@pytest.mark.parametrize("count", [0, 5 * 4 * 9])
def test_nothing_and_everything_can_be_kept(granularity, count):
    mask = balanced_mask(weight(5, 4, 3, 3), count, np.random.default_rng(0), granularity=granularity)
    assert mask.all() == (count > 0)
    assert mask.any() == (count > 0)


def test_blocks_of_four_neighbouring_inputs_are_kept_together():
    mask = balanced_mask(weight(6, 8, 3, 3, groups=2), 20, np.random.default_rng(0), granularity="block1x4")
    kept = mask.reshape(6, 2, 4, 9).sum(2)
    assert sorted(kept[kept > 0].tolist()) == [4] * 5


def test_a_rest_of_a_block_of_inputs_is_one_block_kept_in_part():
    mask = balanced_mask(weight(6, 8, 3, 3), 22, np.random.default_rng(0), granularity="block1x4")
    kept = mask.reshape(6, 2, 4, 9).sum(2)
    assert sorted(kept[kept > 0].tolist()) == [2, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("layer", [weight(8, 3, 3, 3), weight(8, 6, layout="linear")], ids=["stem", "linear"])
def test_inputs_that_are_no_multiple_of_four_are_kept_one_by_one(layer):
    generators = (np.random.default_rng(0) for _ in range(2))
    blocks, single = (
        balanced_mask(layer, 17, g, granularity=n) for g, n in zip(generators, ("block1x4", "weight"), strict=True)
    )
    assert int(blocks.sum()) == 17
    assert torch.equal(blocks, single)


def test_a_mask_can_be_written_to():
    for granularity in ("weight", "kernel"):
        balanced_mask(weight(5, 4), 3, np.random.default_rng(0), granularity=granularity).zero_()


def test_a_count_over_the_size_is_refused():
    with pytest.raises(BudgetError, match="21 weights cannot be kept in 'w', which has 20"):
        balanced_mask(weight(5, 4), 21, np.random.default_rng(0))
    with pytest.raises(BudgetError, match="6 one-to-one weights do not fit: there are 5 target channels"):
        one_to_one(5, 9, 6, np.random.default_rng(0))


def test_an_unknown_granularity_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'kernel'"):
        balanced_mask(weight(5, 4), 3, np.random.default_rng(0), granularity="kernels")


def test_one_to_one_over_equal_widths_is_a_permutation():
    mask = one_to_one(8, 8, 8, np.random.default_rng(0))
    assert mask.sum(0).tolist() == mask.sum(1).tolist() == [1] * 8
    assert not mask.diagonal().all()
