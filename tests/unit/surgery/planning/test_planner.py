from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from math import prod

import pytest

from n2nsurgery.core.errors import BudgetError, UnknownNameError
from n2nsurgery.graph.layers.layer_graph import (
    LayerGraph,
    LayerPair,
    Nonlinearity,
    PrunableWeight,
    Rejection,
    Signal,
    WeightedLayer,
)
from n2nsurgery.masks.allocations import ALLOCATIONS
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.plan import InputSpec, SurgeryPlan
from n2nsurgery.surgery.planning.planner import PlannedModel, plan_surgery

MODEL = PlannedModel(
    recipe=None, class_name="Chain", inputs=(InputSpec(name="x", shape=(2, 3, 8, 8), dtype="float32"),)
)
RELU = Nonlinearity(name="ReLU")


def signal(address: str, channels: int, size: int = 8) -> Signal:
    return Signal(address=address, shape=(channels, size, size), layout="channels_first")


def layer(index: int, c_in: int, c_out: int) -> WeightedLayer:
    name = f"conv{index}"
    return WeightedLayer(
        name=name,
        address=f"{name}#0",
        operator="conv2d",
        weight=f"{name}.weight",
        in_channels=c_in,
        out_channels=c_out,
        groups=1,
        kernel=(3, 3),
        stride=(1, 1),
        output=signal(f"{name}#0", c_out),
        macs=64 * 9 * c_in * c_out,
        depth=index + 1,
        preactivation=signal(f"{name}#0", c_out),
        activation=signal(f"relu{index}#0", c_out),
        nonlinearity=RELU,
    )


def chain(*channels: int, g: Nonlinearity | None = RELU, shortcut: bool = False) -> LayerGraph:
    """Convolutions conv0, conv1, ... of 3x3 on 8x8 positions, one after the other, and every pair between them."""
    layers = tuple(layer(i, a, b) for i, (a, b) in enumerate(pairwise(channels)))
    pairs = tuple(
        LayerPair(
            source=a.name,
            target=b.name,
            source_signal=a.activation,
            target_signal=b.preactivation,
            length=b.depth - a.depth,
            nonlinearity=g,
            shortcut=shortcut,
        )
        for a, b in combinations(layers, 2)
        if b.depth - a.depth >= 2
    )
    weights = tuple(
        PrunableWeight(name=a.weight, layer=a.name, shape=(a.out_channels, a.in_channels, 3, 3), layout="conv", uses=64)
        for a in layers
    )
    return LayerGraph(layers=layers, weights=weights, pairs=pairs, refusals=(), structure="chain")


# N = 9 * (3 * 8 + 8 * 8 + 8 * 16 + 16 * 16 + 16 * 16) = 6,552; skips of length 3: conv0 -> conv3 and conv1 -> conv4,
# each from 8 to 16 channels: 16 one-to-one weights, 128 of 1x1, 1,152 of 3x3.
GRAPH = chain(3, 8, 8, 16, 16, 16)


def plan(graph: LayerGraph = GRAPH, **options) -> SurgeryPlan:
    return plan_surgery(graph, SurgeryConfig(**({"density": 0.1} | options)), MODEL)


def kept(made: SurgeryPlan) -> dict[str, int]:
    return {f"{skip.pair.source}->{skip.pair.target}": skip.kept for skip in made.skips}


def test_auto_gives_every_target_channel_one_weight():
    made = plan(density=0.1)
    assert kept(made) == {"conv0->conv3": 16, "conv1->conv4": 16}
    assert (made.budget.reference, made.budget.total, made.budget.skips, made.budget.sequential) == (6552, 655, 32, 623)


def test_an_explicit_ratio_is_exact_and_serves_every_target_channel():
    made = plan(density=0.1, skip_ratio=0.25)
    assert (made.budget.total, made.budget.skips, made.budget.sequential) == (655, 164, 491)
    assert sum(kept(made).values()) == 164
    assert min(kept(made).values()) >= 16


def test_a_random_pattern_takes_the_whole_ratio_divided_by_size():
    made = plan(chain(3, 8, 8, 8, 16, 16, 32), skip_ratio=0.5, skip_pattern="random", skip_kernel="1")
    # 9 * (3 + 8 + 8 + 16 + 32 + 64) * 8 = 9,432; round(943 / 2) = 472, by halves to even: 471.5 -> 472
    assert made.budget.skips == 472
    # capacities 8 * 16, 8 * 16 and 8 * 32: a quarter, a quarter, a half
    assert kept(made) == {"conv0->conv3": 118, "conv1->conv4": 118, "conv2->conv5": 236}


def test_equal_allocation_gives_every_skip_the_same():
    made = plan(chain(3, 8, 8, 8, 16, 16, 32), skip_ratio=0.3, skip_pattern="random", skip_allocation="equal")
    assert max(kept(made).values()) - min(kept(made).values()) <= 1


def test_a_ratio_of_zero_takes_no_skip_and_records_why():
    made = plan(skip_ratio=0)
    assert made.skips == ()
    assert made.budget.sequential == made.budget.total
    assert [(r.source, r.target) for r in made.refused] == [("conv0", "conv3"), ("conv1", "conv4")]
    assert all("leaves no weight" in r.reason for r in made.refused)


def test_skips_that_cannot_hold_their_budget_are_an_error_with_the_numbers():
    with pytest.raises(
        BudgetError, match=r"590 weights are to go into 2 skips that can hold 256: lower the skip ratio"
    ):
        plan(skip_ratio=0.9, skip_kernel="1", skip_length=3)


def test_the_length_auto_lets_the_original_layers_have_what_skips_cannot_hold():
    made = plan(skip_ratio=0.9, skip_kernel="1")
    assert kept(made) == {"conv0->conv3": 128, "conv1->conv4": 128}
    assert (made.budget.total, made.budget.skips, made.budget.sequential) == (655, 256, 399)
    assert (
        "590 weights are to go into 2 skips that can hold 256: 334 go to the original layers instead" in made.warnings
    )


def test_the_length_auto_serves_some_channels_where_the_ratio_holds_no_more():
    made = plan(skip_ratio=0.01)
    assert made.budget.skips == sum(kept(made).values()) == 7


def test_a_ratio_for_a_network_without_a_place_is_an_error_that_says_so():
    nowhere = chain(3, 8, 8, 16, 16, 16, shortcut=True)
    why = r"no place for one \(\d x its sum holds a shortcut already"
    with pytest.raises(BudgetError, match=f"164 weights are to go into skips, and the network has {why}"):
        plan(nowhere, skip_ratio=0.25)


@pytest.mark.parametrize(
    ("channels", "length", "served"),
    [
        ((3, 8, 8, 8), 2, ["conv0->conv2"]),  # three layers have nothing over three
        ((3, 8, 8, 8, 8), 3, ["conv0->conv3"]),  # one of the two targets that a length of 2 has: half
        ((3, 8), 3, []),
    ],
)
def test_the_length_auto_is_3_where_that_serves_half_of_what_another_would(channels, length, served):
    made = plan(chain(*channels), density=0.5)
    assert made.config.skip_length == length
    assert list(kept(made)) == served


def test_the_length_auto_takes_the_one_with_most_places_where_3_has_few():
    graph = chain(*[8] * 10)
    over_four = tuple(pair for pair in graph.pairs if pair.length in {4, 8} or pair.target == "conv3")
    made = plan(replace(graph, pairs=over_four), density=0.5)
    assert made.config.skip_length == 4
    assert [skip.pair.target for skip in made.skips] == ["conv4", "conv5", "conv6", "conv7", "conv8"]


def test_a_plan_with_the_length_auto_is_that_of_the_length_it_takes():
    assert plan().fingerprint == plan(skip_length=3).fingerprint
    assert plan(skip_length=2).config.skip_length == 2


def test_redistribution_spills_to_the_original_layers_and_is_recorded():
    made = plan(skip_ratio=0.9, skip_kernel="1", redistribute=True)
    assert kept(made) == {"conv0->conv3": 128, "conv1->conv4": 128}
    assert (made.budget.total, made.budget.skips, made.budget.sequential) == (655, 256, 399)
    assert any("334 go to the original layers instead" in warning for warning in made.warnings)


def test_a_ratio_below_one_weight_for_each_channel_is_an_error_with_the_numbers():
    with pytest.raises(BudgetError, match="one-to-one skips need 32 weights and the skip budget is 7: raise the ratio"):
        plan(skip_ratio=0.01, skip_length=3)


def test_redistribution_serves_some_channels_and_is_recorded():
    made = plan(skip_ratio=0.01, redistribute=True)
    assert made.budget.skips == sum(kept(made).values()) == 7
    assert any("only some target channels are served" in warning for warning in made.warnings)


def test_skips_that_take_more_than_the_budget_are_an_error_with_the_numbers():
    with pytest.raises(BudgetError, match="the skips need 32 weights, and the budget has 20 in all"):
        plan(density=0.003)


def test_auto_kernels_grow_to_the_targets_where_single_weights_do_not_suffice():
    made = plan(skip_ratio=0.9)
    assert {skip.kernel for skip in made.skips} == {(3, 3)}
    assert made.budget.skips == 590
    assert any("1x1 skips can hold 256 of 590 weights" in warning for warning in made.warnings)


def test_auto_kernels_stay_single_where_they_suffice():
    made = plan(skip_ratio=0.25)
    assert {skip.kernel for skip in made.skips} == {(1, 1)}
    assert made.warnings == ()


def test_a_kernel_that_was_asked_for_is_not_noted():
    made = plan(skip_ratio=0.25, skip_kernel="target")
    assert {(skip.kernel, skip.weight_shape) for skip in made.skips} == {((3, 3), (16, 8, 3, 3))}
    assert made.warnings == ()


@pytest.mark.parametrize("pattern", ["conv0", "conv0.weight", "conv[0]", "re:0$"])
def test_layers_are_kept_dense_by_name_glob_or_expression(pattern):
    assert plan(ignore=(pattern,)).dense == ("conv0.weight",)


def test_keeping_too_much_dense_is_an_error_with_the_numbers():
    with pytest.raises(
        BudgetError, match=r"kept dense have 2,304 weights, and the budget of the original layers is 623"
    ):
        plan(ignore=("conv4",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": ("conv9",)}, r"ignore: unknown layer pattern 'conv9'; did you mean 'conv\d'"),
        ({"include": ("konv0",)}, "include: unknown layer pattern 'konv0'; did you mean 'conv0'"),
        ({"exclude": ("conv0->conv9",)}, "exclude: unknown pair pattern 'conv0->conv9'"),
        ({"allocation": "eqal"}, "allocation: unknown allocation 'eqal'; did you mean 'equal'"),
        ({"skip": "n2m"}, "unknown skip kind 'n2m'; did you mean 'n2n'"),
        ({"skip_ratio": 0.2, "skip_allocation": "eqal"}, "unknown allocation 'eqal'; did you mean 'equal'"),
    ],
)
def test_a_name_that_matches_nothing_names_the_nearest(options, message):
    with pytest.raises(UnknownNameError, match=message):
        plan(**options)


def test_what_the_graph_and_the_kind_refuse_is_recorded():
    refusal = Rejection(source="conv2", target="", reason="no activation follows it")
    graph = replace(chain(3, 8, 8, 16, 16, 16, g=Nonlinearity(name="RReLU")), refusals=(refusal,))
    made = plan(graph)
    assert made.skips == ()
    assert made.refused[0] == refusal
    assert [(r.source, r.target) for r in made.refused[1:]] == [("conv0", "conv3"), ("conv1", "conv4")]
    assert all("RReLU draws its slope at random" in r.reason for r in made.refused[1:])
    assert any("no pair of layers takes a skip of kind 'n2n' (2 x RReLU draws" in warning for warning in made.warnings)


@pytest.mark.parametrize("rule", ALLOCATIONS.names())
def test_skips_share_their_budget_by_any_registered_allocation(rule):
    made = plan(chain(3, 8, 8, 8, 16, 16, 32), skip_ratio=0.3, skip_pattern="random", skip_allocation=rule)
    assert sum(skip.kept for skip in made.skips) == made.budget.skips > 0


def test_skips_share_the_weight_of_their_target():
    made = plan(density=0.9, pairs="all")
    incoming = {"conv2": 1, "conv3": 2, "conv4": 3}
    assert {skip.pair.target: skip.start for skip in made.skips} == {name: 1 / n for name, n in incoming.items()}


def test_beside_a_shortcut_one_to_one_starts_at_a_quarter_without_norm():
    made = plan(chain(3, 8, 8, 16, 16, 16, shortcut=True), skip_placement="all")
    assert {(skip.start, skip.norm) for skip in made.skips} == {(0.25, False)}


@pytest.mark.parametrize(
    ("norm", "shortcut", "normalized"),
    [("auto", True, True), ("auto", False, False), ("always", False, True), ("never", True, False)],
)
def test_random_branches_are_normalized_beside_a_shortcut_or_as_asked(norm, shortcut, normalized):
    graph = chain(3, 8, 8, 16, 16, 16, shortcut=shortcut)
    made = plan(graph, skip_ratio=0.2, skip_pattern="random", skip_norm=norm, skip_placement="all")
    assert {(skip.start, skip.norm) for skip in made.skips} == {(None, normalized)}


def test_a_network_without_a_place_for_skips_gets_none_and_is_told_so():
    made = plan(chain(3, 8, 8, 16, 16, 16, shortcut=True))
    assert made.skips == ()
    assert {refusal.reason for refusal in made.refused} == {"its sum holds a shortcut already"}
    assert [warning for warning in made.warnings if "no pair of layers takes a skip" in warning]


def test_a_share_of_nothing_for_skips_is_no_lack_of_places():
    made = plan(skip_ratio=0)
    assert (made.skips, made.warnings) == ((), ())


def test_skips_are_numbered_without_gaps():
    # 1 of 3 skips is served: the budget of 1 weight goes to the largest.
    made = plan(chain(3, 8, 8, 8, 16, 16, 32), skip_ratio=0.001, redistribute=True)
    assert [skip.name for skip in made.skips] == ["n2n_skips.0"]
    assert len(made.refused) == 2


def test_residual_skips_take_nothing_from_the_budget():
    made = plan(skip="residual")
    assert kept(made) == {"conv0->conv3": 0, "conv1->conv4": 0}
    assert {(skip.kind, skip.weight_shape, skip.pattern, skip.start) for skip in made.skips} == {
        ("residual", None, None, None)
    }
    assert made.budget.skips == 0


def test_no_skips_where_none_are_asked_for():
    made = plan(skip="none")
    assert (made.skips, made.refused, made.warnings, made.budget.skips) == ((), (), (), 0)


def test_one_to_one_skips_that_starve_the_layers_are_warned_about():
    (warning,) = plan(density=0.03).warnings
    assert "one-to-one skips take 32 of 197 weights (16%)" in warning
    assert plan(density=0.1).warnings == ()


def test_uniform_allocation_that_starves_a_layer_is_warned_about():
    options = {"criterion_options": {"allocation": "uniform"}, "skip": "none"}
    (warning,) = plan(density=0.03, **options).warnings
    assert "starves 1 layers (first: conv0)" in warning  # 27 weights for each channel, of which 3 % are less than one
    assert plan(density=0.1, **options).warnings == ()


def test_the_inputs_of_a_transposed_convolution_are_its_first_axis():
    graph = chain(3, 8)
    weight = PrunableWeight(name="up.weight", layer="up", shape=(64, 2, 2, 2), layout="conv_transpose", groups=2)
    options = {"criterion_options": {"allocation": "uniform"}, "skip": "none"}
    assert plan(replace(graph, weights=(weight,)), density=0.01, **options).warnings == ()  # 32 x 4 for each output
    (warning,) = plan(replace(graph, weights=(weight,)), density=0.006, **options).warnings
    assert "starves 1 layers (first: up)" in warning


def test_layers_keep_equally_many_and_one_that_is_too_small_all_of_its_own():
    made = plan(density=0.2, skip="none", criterion_options={"allocation": "equal"})
    counts = dict(zip([weight.name for weight in made.weights], made.kept, strict=True))
    assert counts.pop("conv0.weight") == 3 * 8 * 9
    assert sum(counts.values()) == made.budget.total - 3 * 8 * 9
    assert max(counts.values()) - min(counts.values()) <= 1
    assert made.warnings == ()


def test_a_pattern_plans_how_much_each_layer_keeps():
    made = plan(skip_ratio=0.25, ignore=("conv0",))
    counts = dict(zip([weight.name for weight in made.weights], made.kept, strict=True))
    assert counts["conv0.weight"] == 3 * 8 * 9
    assert sum(counts.values()) == made.budget.sequential
    assert all(0 < count <= weight.numel for count, weight in zip(made.kept, made.weights, strict=True))


def test_scores_decide_how_much_each_layer_keeps():
    assert plan(criterion="snip").kept is None


def test_the_names_of_the_papers_give_the_same_plan():
    assert plan(criterion="rp") == plan(criterion="random")
    assert plan(criterion="csp", skip="N2NSkip").fingerprint == plan(criterion="snip", skip="n2n").fingerprint


def test_the_plan_carries_what_the_graph_says():
    made = plan()
    assert (made.structure, made.weights, made.model_class, made.inputs) == (
        "chain",
        GRAPH.weights,
        "Chain",
        MODEL.inputs,
    )
    assert made.budget.reference == sum(prod(weight.shape) for weight in GRAPH.weights)


def test_the_same_request_gives_the_same_plan():
    options = {"skip_ratio": 0.3, "pairs": "random", "num_pairs": 3, "seed": 5}
    assert plan(**options) == plan(**options)
    assert plan(**options).fingerprint == plan(**options).fingerprint
    assert plan(**options | {"seed": 6}).fingerprint != plan(**options).fingerprint
