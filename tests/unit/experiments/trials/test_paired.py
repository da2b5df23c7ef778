from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from n2nsurgery.experiments.trials.paired import SampleStats, paired, rank_correlation, together

VALUES = st.lists(st.floats(0, 100), min_size=2, max_size=12)


@given(VALUES, st.integers(0, 2**32 - 1))
def test_differences_are_those_of_a_paired_t_test(first, seed):
    one = dict(enumerate(first))
    other = {k: v + d for (k, v), d in zip(one.items(), np.random.default_rng(seed).normal(size=len(one)), strict=True)}
    found = paired(one, other)
    oracle = stats.ttest_rel(list(one.values()), list(other.values()))
    low, high = oracle.confidence_interval(0.95)
    # Both sum a dozen numbers below 100 in double precision.
    assert found.interval == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    significant = oracle.pvalue < 0.05
    if abs(oracle.pvalue - 0.05) > 1e-6:
        assert (found.outcome == "undecided") is not significant
    assert found.error == pytest.approx(np.std(found.values, ddof=1) / math.sqrt(len(one)), rel=1e-12, abs=1e-12)


def test_only_seeds_that_both_have_are_compared():
    assert paired({0: 3.0, 1: 5.0, 7: 1.0}, {1: 1.0, 0: 2.0, 3: 9.0}).values == (1.0, 4.0)
    assert paired({0: 1.0}, {1: 1.0}).values == ()


def test_an_unpaired_difference_would_be_seen():
    # A method that is better by one point on every seed, while seeds differ by 10: only the pairing shows it.
    one, other = {0: 41.0, 1: 51.1, 2: 60.9}, {0: 40.0, 1: 50.0, 2: 60.0}
    assert paired(one, other).outcome == "reproduced"
    assert paired(one, dict(zip(other, reversed(other.values()), strict=True))).outcome == "undecided"


@pytest.mark.parametrize(
    ("values", "outcome", "level"),
    [
        ((), "undecided", "undecided"),
        ((5.0,), "undecided", "undecided"),
        ((5.0, 5.1, 4.9), "reproduced", "reproduced"),
        ((-5.0, -5.1, -4.9), "refuted", "refuted"),
        ((5.0, -5.0, 0.1), "undecided", "undecided"),
        ((-0.5, -0.51, -0.49), "refuted", "reproduced"),
    ],
)
def test_an_outcome_follows_from_the_interval(values, outcome, level):
    stats = SampleStats(values=values)
    assert stats.outcome == outcome
    assert stats.not_below(1.0) == level


def test_a_statement_of_several_parts_needs_all_of_them():
    assert together(["reproduced", "reproduced"]) == "reproduced"
    assert together(["reproduced", "undecided"]) == "undecided"
    assert together(["reproduced", "undecided", "refuted"]) == "refuted"
    assert together([]) == "undecided"


def test_a_spread_is_shown_with_its_deviation_and_a_difference_with_its_interval():
    stats = SampleStats(values=(1.0, 2.0, 3.0))
    assert stats.text(1) == "2.0 ± 1.0"
    assert stats.signed() == "+2.00 [-0.48, +4.48]"  # t(0.975, 2) = 4.303, 4.303 / sqrt(3) = 2.48
    assert (SampleStats(values=(1.0,)).text(), SampleStats(values=()).signed()) == ("1.00", "no run")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=40))
def test_rank_correlation_is_that_of_the_ranks(pairs):
    x, y = ([float(pair[side]) for pair in pairs] for side in (0, 1))
    found = rank_correlation(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
        return
    ranks = stats.rankdata(x), stats.rankdata(y)
    # Pearson's correlation of the ranks, at most 40 of them, in double precision.
    assert found.rho == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-12)
    low, high = found.interval
    assert low <= found.rho <= high


def test_the_interval_of_a_rank_correlation_is_fiellers():
    x = list(range(20))
    found = rank_correlation(x, [*x[1::2], *x[::2]])
    reach = 1.959964 * math.sqrt(1.06 / 17)
    expected = math.tanh(math.atanh(found.rho) - reach), math.tanh(math.atanh(found.rho) + reach)
    assert found.interval == pytest.approx(expected, abs=1e-6)  # the quantile above has seven digits
