"""What every criterion promises, for all members of the registry."""

import dataclasses
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from n2nsurgery.core.errors import BudgetError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks import CRITERIA, Floors, PatternCriterion, ScoreContext, ScoreCriterion, draw_masks
from n2nsurgery.masks.criterion import SCOPES

every_criterion = pytest.mark.parametrize("name", CRITERIA.names())
SHAPES = {"0": (4, 3, 3, 3), "3": (6, 2, 3, 3), "7": (5, 6)}
SIZE = 108 + 108 + 30


def operand() -> ScoreContext:
    """A convolution, BatchNorm, a grouped convolution, dropout and a linear layer, with two batches."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, groups=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(6, 5),
        )
        batches = tuple(((torch.randn(8, 3, 7, 7),), targets) for targets in (torch.arange(8) % 5, None))
    module[1].eval()
    module[3].weight.requires_grad_(requires_grad=False)
    module[7].weight.grad = torch.full((5, 6), 7.0)
    weights = tuple(
        PrunableWeight(
            name=f"{layer}.weight",
            layer=layer,
            shape=shape,
            layout="conv" if len(shape) == 4 else "linear",
            groups=2 if layer == "3" else 1,
        )
        for layer, shape in SHAPES.items()
    )
    return ScoreContext(module=module, weights=weights, batches=batches, seed=1)


def make(name: str):
    """The criterion with its defaults, with few rounds where it has rounds."""
    member = CRITERIA.get(name)
    few = {"rounds": 5} if "rounds" in {field.name for field in dataclasses.fields(member)} else {}
    return member(**few)


@every_criterion
def test_a_criterion_is_a_frozen_value_that_says_what_it_needs(name):
    criterion = CRITERIA.get(name)()
    assert criterion == CRITERIA.get(name)()
    assert hash(criterion) == hash(CRITERIA.get(name)())
    assert criterion.needs in {"nothing", "weights", "inputs", "batches"}
    assert isinstance(criterion, PatternCriterion) != isinstance(criterion, ScoreCriterion)
    if isinstance(criterion, ScoreCriterion):
        assert criterion.scope in SCOPES
        assert criterion.rounds >= 1


@every_criterion
def test_the_module_docstring_names_the_member(name):
    module = __import__(CRITERIA.get(name).__module__, fromlist=["MEMBER"])
    assert module.__doc__.startswith(f"Criterion `{name}`")


CONTEXT = operand()


def is_strict(criterion) -> bool:
    """Whether only some counts can be kept."""
    return isinstance(criterion, PatternCriterion) and any(criterion.step(w) > 1 for w in CONTEXT.weights)


def legal_count(name: str, count: int) -> int:
    """`count`, or for a strict pattern the nearest legal one as its rejection names it."""
    try:
        draw_masks(make(name), CONTEXT.weights, count, context=CONTEXT)
    except BudgetError as error:
        return int(re.search(r"nearest are ([\d,]+) of", str(error)).group(1).replace(",", ""))
    return count


@every_criterion
@settings(max_examples=25)
@given(count=st.integers(0, SIZE), seed=st.integers(0, 2**31))
def test_counts_are_exact(name, count, seed):
    legal = legal_count(name, count)
    masks = draw_masks(make(name), CONTEXT.weights, legal, context=CONTEXT, seed=seed).masks
    assert masks.kept == legal
    assert {key: tuple(mask.shape) for key, mask in masks.items()} == {w.name: w.shape for w in CONTEXT.weights}


@every_criterion
def test_a_pattern_keeps_what_it_is_told_of_each_weight(name):
    criterion = make(name)
    if not isinstance(criterion, PatternCriterion):
        pytest.skip("scores decide the counts")
    counts = {w.name: criterion.step(w) * (w.numel // criterion.step(w) // 2) for w in CONTEXT.weights}
    assert all(w.numel % criterion.step(w) == 0 for w in CONTEXT.weights)
    masks = draw_masks(criterion, CONTEXT.weights, sum(counts.values()), counts=counts).masks
    assert dict(masks.counts) == counts


@every_criterion
@settings(max_examples=10)
@given(count=st.integers(51, SIZE))
def test_counts_are_exact_with_floors(name, count):
    if is_strict(make(name)):
        pytest.skip("keeps equally many weights in every channel")
    masks = draw_masks(
        make(name), CONTEXT.weights, count, context=CONTEXT, floors=Floors(per_layer=9, per_channel=3)
    ).masks
    assert masks.kept == count
    assert all(mask.flatten(1).sum(1).min() >= 3 for mask in masks.values())


@every_criterion
def test_the_same_seed_gives_the_same_masks(name):
    first, second = (
        draw_masks(make(name), CONTEXT.weights, legal_count(name, 60), context=operand(), seed=2).masks
        for _ in range(2)
    )
    assert first.fingerprint == second.fingerprint


@every_criterion
def test_the_global_generator_has_no_influence(name):
    masks = []
    for state in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(state)
            masks.append(draw_masks(make(name), CONTEXT.weights, legal_count(name, 60), context=CONTEXT, seed=2).masks)
    assert masks[0] == masks[1]


@every_criterion
def test_lower_density_keeps_a_subset_where_scores_are_computed_once(name):
    criterion = make(name)
    if isinstance(criterion, PatternCriterion) or criterion.rounds > 1:
        pytest.skip("draws anew, or scores again, for every count")
    large, small = (draw_masks(criterion, CONTEXT.weights, n, context=CONTEXT).masks for n in (120, 40))
    assert not any((small[key] & ~large[key]).any() for key in small)


@every_criterion
def test_the_network_is_left_as_it_was(name):
    context = operand()
    module = context.module
    state = {key: value.clone() for key, value in module.state_dict().items()}
    modes = [child.training for child in module.modules()]
    generator = torch.get_rng_state()
    with torch.no_grad():
        draw_masks(make(name), context.weights, legal_count(name, 60), context=context)
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert [child.training for child in module.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    assert [key for key, p in module.named_parameters() if not p.requires_grad] == ["3.weight"]
    assert [key for key, p in module.named_parameters() if p.grad is not None] == ["7.weight"]
    assert (module[7].weight.grad == 7).all()


@every_criterion
def test_scores_are_finite_and_of_the_weights_shape(name):
    criterion = make(name)
    if isinstance(criterion, PatternCriterion):
        pytest.skip("gives patterns, not scores")
    scores = criterion.scores(CONTEXT)
    assert {key: tuple(score.shape) for key, score in scores.items()} == {w.name: w.shape for w in CONTEXT.weights}
    assert all(torch.isfinite(score).all() and not score.requires_grad for score in scores.values())


@every_criterion
def test_half_precision_is_scored(name):
    context = operand()
    half = dataclasses.replace(
        context,
        module=context.module.to(torch.bfloat16),
        batches=tuple(((inputs[0].to(torch.bfloat16),), targets) for inputs, targets in context.batches),
    )
    count = legal_count(name, 60)
    assert draw_masks(make(name), half.weights, count, context=half).masks.kept == count
