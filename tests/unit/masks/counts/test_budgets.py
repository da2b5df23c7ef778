import pytest

from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.masks import Budget, budget


@pytest.mark.parametrize(
    ("reference", "density", "ratio", "total", "skips"),
    [
        (1000, 0.1, 0.5, 100, 50),  # the paper's example: 10 % become 5 % and 5 %
        (25_502_912, 0.05, 0.5, 1_275_146, 637_573),
        (10, 1.0, 0.0, 10, 0),
        (7, 0.5, 0.34, 4, 1),  # 3.5 rounds to even
    ],
)
def test_budgets_are_rounded_once_and_the_rest_is_sequential(reference, density, ratio, total, skips):
    made = budget(reference, density=density, skip_ratio=ratio)
    assert made == Budget(reference=reference, total=total, skips=skips)
    assert made.sequential == total - skips


@pytest.mark.parametrize("density", [0, -0.1, 1.5, float("nan"), float("inf")])
def test_a_density_out_of_range_is_refused_with_its_value(density):
    with pytest.raises(UsageError, match=rf"density is {density}.*\(0, 1\]"):
        budget(100, density=density)


@pytest.mark.parametrize("ratio", [1, -0.1, 2.0, float("nan")])
def test_a_skip_ratio_out_of_range_is_refused_with_its_value(ratio):
    with pytest.raises(UsageError, match=rf"skip ratio is {ratio}.*\[0, 1\)"):
        budget(100, density=0.5, skip_ratio=ratio)


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(BudgetError, match=r"density 0\.001 of 100 weights keeps none"):
        budget(100, density=0.001)


def test_the_number_of_skip_weights_can_be_given():
    made = budget(1000, density=0.1).with_skips(7)
    assert (made.total, made.skips, made.sequential) == (100, 7, 93)


@pytest.mark.parametrize("count", [-1, 100, 101])
def test_skips_leave_something_for_the_layers(count):
    with pytest.raises(BudgetError, match=f"{count} weights, and the budget has 100"):
        budget(1000, density=0.1).with_skips(count)
