from dataclasses import replace

import numpy as np
import pytest

from n2nsurgery import apply
from n2nsurgery.core.errors import BudgetError, UnknownNameError, UsageError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks import draw_masks
from n2nsurgery.masks.patterns.fans import fan_in_of
from n2nsurgery.pipelines.prune.choose_draw import DrawChoice, choose_by_scatter, junction_of
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.division.junctions import JunctionRequest
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.planner import criterion_of

HALF = {"0": 512, "2": 32}


def test_fan_outs_alone_are_the_budget_and_all_other_layers_stay_dense():
    pruned = apply("mnist-conv-2cl", fan_out={"classifier.0": 16}, criterion="fixed-fan", skip="none")
    counts = pruned.masks.counts
    assert pruned.plan.dense == ("features.0.weight", "features.3.weight", "classifier.2.weight")
    assert counts["classifier.0.weight"] == 3136 * 16
    assert pruned.plan.budget.total == sum(counts.values()) == 800 + 51_200 + 3136 * 16 + 7840
    mask = pruned.masks["classifier.0.weight"]
    assert set(mask.sum(0).tolist()) == {16}
    assert set(mask.sum(1).tolist()) == {fan_in_of(784, 3136, 16)}


def test_the_rest_of_a_density_goes_to_the_other_layers():
    half = apply("morse", density=0.5, fan_out={"0": 256}, criterion="random", skip="none").masks
    assert half.counts == {"0.weight": 16_384, "2.weight": 65_536 - 16_384}


def test_skips_are_added_to_what_the_layers_keep():
    pruned = apply("mlp", fan_out={"layers.0": 64, "layers.2": 32, "layers.4": 16}, criterion="fixed-fan")
    sequential = 3072 * 64 + 512 * 32 + 256 * 16 + 128 * 64
    assert pruned.plan.budget.sequential == sequential
    assert pruned.plan.budget.skips == sum(skip.kept for skip in pruned.plan.skips) > 0
    assert pruned.masks.kept == sequential + pruned.plan.budget.skips


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"fan_out": {"0": 500, "2": 32}},
            BudgetError,
            "layer '0': fan-out 500 .* nearest are fan-out 496",
        ),
        ({"fan_out": HALF, "criterion": "magnitude"}, UsageError, "needs a criterion that draws patterns"),
        ({"fan_out": {"2": 1, "2.weight": 1}}, UsageError, "'2' is asked for twice"),
        ({"fan_out": {"7": 1}}, UnknownNameError, "unknown layer pattern '7'"),
        ({"fan_out": HALF, "ignore": ("2",)}, UsageError, "'2' is to stay dense and to keep a number"),
        ({"fan_out": HALF, "density": 0.4}, BudgetError, "leave the density out"),
        ({"fan_out": HALF, "floor_layer": 3}, UsageError, "floors exclude what single layers keep"),
        ({}, UsageError, "exactly one of density, sparsity and compression sets the budget; none is given"),
        ({"density": 0.3, "criterion": "fixed-fan"}, BudgetError, "nearest are .* give that, or the fan-out of each"),
    ],
)
def test_what_cannot_be_is_one_error(options, error, message):
    with pytest.raises(error, match=message):
        apply("morse", **{"criterion": "fixed-fan", "skip": "none", **options})


@pytest.mark.parametrize("values", [{}, {"fan_out": 2, "density": 0.5}, {"fan_out": 0}, {"density": 1.5}])
def test_a_request_is_one_number_in_its_range(values):
    with pytest.raises(UsageError):
        JunctionRequest(layers="0", **values)


def test_a_density_that_fixed_fans_cannot_have_names_one_that_they_can():
    with pytest.raises(BudgetError) as refusal:
        apply("morse", density=0.3, criterion="fixed-fan", skip="none")
    near = float(str(refusal.value).split("(density ")[1].split(")")[0])
    assert apply("morse", density=near, criterion="fixed-fan", skip="none").plan.budget.total == round(near * 131_072)


def test_later_layers_are_denser_where_asked():
    options = {"allocation": "later-denser"}
    masks = apply("morse", density=0.5, criterion="fixed-fan", skip="none", criterion_options=options).masks
    assert masks.counts == {"0.weight": 16_384, "2.weight": 49_152}  # 25 % and 75 %


def choice_of(plan: SurgeryPlan, candidates: int) -> DrawChoice:
    config = replace(plan.config, num_candidates=candidates, select_by="scatter" if candidates > 1 else None)
    return choose_by_scatter(replace(plan, config=config), criterion_of(config))


def test_the_draw_of_highest_scatter_is_found_and_is_the_one_that_is_drawn():
    pruned = apply("morse", fan_out=HALF, criterion="fixed-fan", skip="none")
    choice = choice_of(pruned.plan, 6)
    assert choice.scatters[choice.draw] == max(choice.scatters)
    assert len(set(choice.scatters)) > 1
    chosen, first = (
        apply("morse", fan_out=HALF, criterion="fixed-fan", skip="none", draw=draw) for draw in (choice.draw, 0)
    )
    assert (chosen.masks == first.masks) == (choice.draw == 0)
    again = choice_of(chosen.plan, choice.draw + 1)
    assert again.scatters[choice.draw] == choice.scatters[choice.draw]


def test_scores_and_broken_chains_cannot_be_chosen_from():
    with pytest.raises(UsageError, match="it has a single result"):
        choice_of(apply("morse", density=0.5, criterion="magnitude", skip="none").plan, 4)
    with pytest.raises(UsageError, match="follow each other"):
        choice_of(apply("mnist-conv-2cl", density=0.5, skip="none").plan, 2)


def test_a_grouped_layer_is_a_block_diagonal_junction():
    weight = PrunableWeight(name="w", layer="w", shape=(4, 2, 1, 1), layout="conv", groups=2)
    masks = draw_masks("random", [weight], 8).masks
    assert np.array_equal(junction_of(weight, masks), np.kron(np.eye(2), np.ones((2, 2))))


def test_a_config_without_density_can_be_stored():
    assert SurgeryConfig(density=None, fan_out=HALF).density is None
