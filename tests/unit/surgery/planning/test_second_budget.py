"""A budget of multiply-accumulates beside the number of weights, or in its place."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery import apply
from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.graph.layers.layer_graph import LayerGraph, PrunableWeight
from n2nsurgery.masks.allocations import ALLOCATIONS
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.plan import InputSpec, SurgeryPlan
from n2nsurgery.surgery.planning.planner import PlannedModel, plan_surgery

MODEL = PlannedModel(
    recipe=None, class_name="Chain", inputs=(InputSpec(name="x", shape=(2, 3, 16, 16), dtype="float32"),)
)


def chain(*uses: int, width: int = 12) -> LayerGraph:
    """Convolutions of 3x3 whose weights are used `uses` times for one sample, without a place for skips."""
    weights = tuple(
        PrunableWeight(name=f"c{i}.weight", layer=f"c{i}", shape=(width, width, 3, 3), layout="conv", uses=each)
        for i, each in enumerate(uses)
    )
    return LayerGraph(layers=(), weights=weights, pairs=(), refusals=(), structure="chain")


def plan(graph: LayerGraph, **options) -> SurgeryPlan:
    return plan_surgery(graph, SurgeryConfig(**({"skip": "none"} | options)), MODEL)


def macs_of(made: SurgeryPlan) -> int:
    layers = sum(kept * weight.uses for kept, weight in zip(made.kept, made.weights, strict=True))
    return layers + sum(skip.macs for skip in made.skips)


def share_of(made: SurgeryPlan) -> Fraction:
    return Fraction(macs_of(made), macs_of_dense(made))


def macs_of_dense(made: SurgeryPlan) -> int:
    return sum(weight.macs for weight in made.weights)


NETWORKS = st.lists(st.integers(0, 300), min_size=2, max_size=8).filter(any).map(lambda uses: chain(*uses))
SHARES = st.floats(0.01, 1).map(lambda share: round(share, 3))


@given(graph=NETWORKS, density=SHARES, macs=SHARES, rule=st.sampled_from(["erk", "uniform", "global", "equal"]))
def test_beside_a_density_weights_are_exact_and_the_bound_holds_or_the_message_names_one_that_does(
    graph, density, macs, rule
):
    asked = {"density": density, "allocation": rule}
    plain = plan(graph, **asked)
    try:
        made = plan(graph, **asked, macs=macs)
    except BudgetError as error:
        lowest = float(re.search(r"Give macs from (\S+) on", str(error)).group(1))
        assert lowest > macs
        made, macs = plan(graph, **asked, macs=lowest), lowest
    assert sum(made.kept) == made.budget.total == round(density * graph.reference_weights)
    assert all(0 <= kept <= weight.numel for kept, weight in zip(made.kept, made.weights, strict=True))
    assert share_of(made) <= Fraction(str(macs))
    if share_of(plain) <= Fraction(str(macs)):
        assert made.kept == plain.kept


@given(graph=NETWORKS, macs=SHARES, rule=st.sampled_from(["erk", "uniform"]))
def test_alone_it_keeps_as_many_weights_as_the_bound_allows(graph, macs, rule):
    made = plan(graph, macs=macs, allocation=rule)
    assert share_of(made) <= Fraction(str(macs))
    if made.budget.total < graph.reference_weights:
        more = (made.budget.total + 1) / graph.reference_weights
        assert share_of(plan(graph, density=more, allocation=rule)) > Fraction(str(macs))


def test_a_tighter_bound_never_moves_weights_to_a_layer_of_more_positions():
    graph = chain(256, 64, 16, 4)
    shares = [plan(graph, density=0.1, macs=macs).kept for macs in (0.1, 0.08, 0.05, 0.03, 0.02)]
    assert len(set(shares)) == len(shares)
    assert all(later[0] < earlier[0] for earlier, later in pairwise(shares))
    assert all(later[-1] > earlier[-1] for earlier, later in pairwise(shares))
    assert all(min(kept) >= 1 for kept in shares)  # a second budget cuts no layer


def test_the_bound_is_kept_to_the_rounding():
    graph = chain(256, 64, 16, 4)
    made = plan(graph, density=0.1, macs=0.05)
    # one weight more in the first layer, and one less in the last, is 252 multiply-accumulates; rounding moves no more
    assert 0 <= 0.05 - share_of(made) <= Fraction(len(graph.weights) * 256, graph.macs)


def test_layers_kept_dense_stay_so_and_single_layers_keep_what_they_say():
    graph = chain(256, 64, 16, 4)
    made = plan(graph, density=0.4, macs=0.3, ignore=("c3",), junction_density={"c1": 0.1})
    assert made.kept[3] == 1296
    assert made.kept[1] == 130
    assert share_of(made) <= Fraction("0.3")


@pytest.mark.parametrize("budget", [{"density": 0.05, "macs": 0.05}, {"macs": 0.04}])
def test_a_pruned_network_keeps_the_bound_with_the_multiply_accumulates_of_its_skips(budget):
    pruned = apply("cifar-plain17", **budget)
    layers = {weight.name: weight.uses for weight in pruned.plan.weights}
    skips = {f"{skip.name}.weight": skip.macs // skip.kept for skip in pruned.plan.skips}
    counts = pruned.masks.counts
    assert skips
    assert pruned.masks.kept == (25_628 if "density" in budget else pruned.plan.budget.total)
    kept, dense = sum(counts[name] * uses for name, uses in (layers | skips).items()), macs_of_dense(pruned.plan)
    # the rounding of fifteen layers moves a few weights, of 256 multiply-accumulates at most
    assert 0 <= budget["macs"] * dense - kept <= 15 * 256
    assert pruned.summary()["mac_density"] == kept / dense


def test_every_allocation_can_be_bound():
    for rule in ALLOCATIONS.names():
        assert share_of(plan(chain(256, 64, 16, 4), density=0.2, macs=0.1, allocation=rule)) <= Fraction("0.1")


def test_a_plan_remembers_the_bound_and_one_without_it_is_as_before():
    graph = chain(256, 64)
    bound = plan(graph, density=0.1, macs=0.05)
    assert SurgeryPlan.from_json(bound.to_json()) == bound
    assert bound.to_json()["config"]["macs"] == 0.05
    assert "macs" not in plan(graph, density=0.1).to_json()["config"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"macs": 0.05, "criterion": "snip"}, UsageError, "macs needs a criterion that draws patterns; the scores of"),
        ({"macs": 0.5, "criterion": "fixed-fan"}, UsageError, "macs is given alone, and 'fixed-fan' keeps only"),
        ({"macs": 0.5, "fan_out": {"c0": 1}}, UsageError, "macs is given beside what single layers keep"),
        ({"macs": 0}, UsageError, r"macs is 0; it must be in \(0, 1\] or left out"),
        ({"macs": 0.3, "ignore": ("c0",)}, BudgetError, "the fewest weights that layers and skips can keep here, 1,29"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        plan(chain(256, 64, 16), **options)


def test_without_a_known_multiply_accumulate_there_is_nothing_to_bind():
    with pytest.raises(UsageError, match="none could be counted"):
        plan(chain(0, 0), density=0.5, macs=0.5)
