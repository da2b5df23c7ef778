"""The warning about weights outside of the budget."""

from dataclasses import replace

import pytest

from n2nsurgery.core.errors import BudgetError
from n2nsurgery.graph.layers.layer_graph import LayerGraph, LeftDense, PrunableWeight
from n2nsurgery.surgery.planning.left_dense import left_dense, require_weights, unfollowed


def graph(*left: tuple[str, int, str], weights: int = 30) -> LayerGraph:
    pruned = PrunableWeight(name="fc.weight", layer="fc", shape=(weights, 1), layout="linear")
    dense = tuple(LeftDense(name=name, numel=numel, reason=reason) for name, numel, reason in left)
    known = (pruned,) if weights else ()
    return LayerGraph(layers=(), weights=known, pairs=(), refusals=(), structure="", left=dense)


def test_shares_are_told_by_reason_largest_first_with_the_largest_weight():
    table = "a table: kept dense, not counted"
    (warning,) = left_dense(graph(("a", 10, table), ("b", 5, "other"), ("c", 55, table)))
    assert warning == (
        "only 30% of the model's 100 weights (matrices and kernels) are in the budget: "
        "65% stay dense ('c': a table); 5% stay dense ('b': other)"
    )


@pytest.mark.parametrize(("left", "count"), [(7, 0), (8, 1)])
def test_a_fifth_outside_of_the_budget_is_usual(left, count):
    assert len(left_dense(graph(("a", left, "a table")))) == count


def test_a_model_without_a_weight_to_prune_is_refused_with_what_it_has():
    with pytest.raises(BudgetError, match=r"^Net has no weight that can be pruned: 100% stay dense \('a': a table\)$"):
        require_weights(graph(("a", 8, "a table"), weights=0), "Net")
    with pytest.raises(BudgetError, match="it has no matrix or kernel"):
        require_weights(graph(weights=0), "Net")


def test_a_model_that_was_followed_in_parts_is_told():
    assert unfollowed(graph()) == ()
    (warning,) = unfollowed(replace(graph(), unfollowed="Net cannot be traced: reason"))
    assert warning == "Net cannot be traced: reason. So it is pruned only, without skips"
