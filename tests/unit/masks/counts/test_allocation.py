import numpy as np
import pytest

from n2nsurgery.core.errors import BudgetError, InternalError, UnknownNameError
from n2nsurgery.masks import allocate
from n2nsurgery.masks.counts.allocation import apportion

SHAPES = {"stem": (4, 3, 3, 3), "body": (8, 4, 3, 3), "head": (10, 8)}  # 108, 288 and 80 weights; sums 13, 18 and 18


@pytest.mark.parametrize(
    ("rule", "total", "expected"),
    [
        ("uniform", 119, {"stem": 27, "body": 72, "head": 20}),
        ("uniform", 120, {"stem": 27, "body": 73, "head": 20}),  # 27.2, 72.6 and 20.2: the largest remainder gets it
        ("erk", 49, {"stem": 13, "body": 18, "head": 18}),
        ("erk", 300, {"stem": 92, "body": 128, "head": 80}),  # the head is full, its surplus goes to the others
        ("equal", 300, {"stem": 108, "body": 112, "head": 80}),
        ("equal", 10, {"stem": 4, "body": 3, "head": 3}),  # equal remainders: the first gets it
    ],
)
def test_allocations_are_what_their_rule_says(rule, total, expected):
    assert allocate(SHAPES, total, rule) == expected


def test_global_allocation_is_a_random_draw_without_replacement():
    drawn = [allocate(SHAPES, 119, "global", generator=np.random.default_rng(seed)) for seed in range(200)]
    stem = np.array([counts["stem"] for counts in drawn])
    # Hypergeometric: mean 27, variance 119 * (108/476) * (368/476) * (357/475) = 15.7; five standard errors.
    assert abs(stem.mean() - 27) < 5 * np.sqrt(15.7 / 200)
    assert 15.7 / 2 < stem.var() < 15.7 * 2
    with pytest.raises(InternalError, match="no generator"):
        allocate(SHAPES, 119, "global")


def test_floors_are_met_and_the_others_share_the_rest():
    assert allocate(SHAPES, 119, "uniform", least={"head": 44}) == {"stem": 20, "body": 55, "head": 44}


def test_a_floor_over_the_size_means_full():
    assert allocate(SHAPES, 119, "uniform", least={"head": 1000})["head"] == 80


def test_capacities_can_be_smaller_than_the_shapes():
    assert allocate({"a": (4, 4), "b": (8, 4)}, 9, "equal", capacities={"a": 4, "b": 8}) == {"a": 4, "b": 5}


def test_bounds_on_both_sides_are_settled_together():
    # scale 1: the first is over by 5, the second under by 3; only then does the third get what is left.
    assert apportion(20, [10, 2, 8], [0, 5, 0], [5, 9, 20]) == [5, 5, 10]


def test_an_item_whose_share_is_over_its_size_becomes_full():
    assert allocate(SHAPES, 300, "erk")["head"] == allocate(SHAPES, 300, "equal")["head"] == 80


@pytest.mark.parametrize(
    ("total", "least", "message"),
    [
        (477, {}, "477 weights do not fit: there is room for 476"),
        (10, {"stem": 9, "body": 9}, "floors ask for 18 weights, and 10 may be kept"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(total, least, message):
    with pytest.raises(BudgetError, match=message):
        allocate(SHAPES, total, "uniform", least=least)


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown allocation 'unifrom'; did you mean 'uniform'"):
        allocate(SHAPES, 10, "unifrom")
