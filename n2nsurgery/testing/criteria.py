"""What every criterion promises; see `n2nsurgery.masks.criterion` for the protocols."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from n2nsurgery.core.errors import N2NSurgeryError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.counts.floors import Floors
from n2nsurgery.masks.criterion import SCOPES, Criterion, PatternCriterion, ScoreCriterion
from n2nsurgery.masks.draw import draw_masks
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.masks.scoring.context import ScoreContext
from n2nsurgery.testing.verdict import expect, has_plain_fields, instance, is_a_frozen_value, keeps_all, states_under

_SHAPES = {"0": (4, 3, 3, 3), "3": (6, 2, 3, 3), "7": (5, 6)}
_NEEDS = ("nothing", "weights", "inputs", "batches")
_COUNTS = (0, 1, 60, 123, 245)
_FLOORS = Floors(per_layer=9, per_channel=3)


def check_criterion(criterion: Criterion | type[Any]) -> None:
    """Return where `criterion`, an instance or a class with defaults, keeps the promises of a criterion.

    It is run on a small network with a grouped convolution, BatchNorm and dropout. Raises AssertionError that names
    the first promise that is broken.

    Example:
        >>> from n2nsurgery.testing import check_criterion
        >>> from n2nsurgery.masks.criteria.magnitude import Magnitude
        >>> check_criterion(Magnitude(scope="layer"))
    """
    keeps_all(instance(criterion), CRITERION_CHECKS)


def scored_network() -> ScoreContext:
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
    module.get_parameter("3.weight").requires_grad_(False)
    module.get_parameter("7.weight").grad = torch.full((5, 6), 7.0)
    weights = tuple(
        PrunableWeight(
            name=f"{layer}.weight",
            layer=layer,
            shape=shape,
            layout="conv" if layer != "7" else "linear",
            groups=2 if layer == "3" else 1,
        )
        for layer, shape in _SHAPES.items()
    )
    return ScoreContext(module=module, weights=weights, batches=batches, seed=1)


def says_what_it_needs_and_which_kind_it_is(criterion: Criterion) -> None:
    """`needs` is one of four words, and it either draws patterns or scores weights."""
    expect(
        getattr(criterion, "needs", None) in _NEEDS,
        f"has needs = {getattr(criterion, 'needs', None)!r}; it must be one of {', '.join(_NEEDS)}",
    )
    pattern, score = isinstance(criterion, PatternCriterion), isinstance(criterion, ScoreCriterion)
    expect(pattern or score, "has neither `pattern`, `step` and `allocation` nor `scores`, `scope` and `rounds`")
    expect(not (pattern and score), "both draws patterns and scores weights; choose one")
    if isinstance(criterion, ScoreCriterion):
        expect(criterion.scope in SCOPES, f"has scope {criterion.scope!r}; it must be one of {', '.join(SCOPES)}")
        expect(criterion.rounds >= 1, f"has {criterion.rounds} rounds; at least 1 is needed")


def keeps_exactly_the_count_it_is_given(criterion: Criterion) -> None:
    """Every count, or for a strict pattern every multiple of its steps; masks have the weights' names and shapes."""
    context = scored_network()
    for seed, count in enumerate(_COUNTS):
        masks, wanted = drawn(criterion, context, count, seed=seed)
        expect(masks.kept == wanted, f"keeps {masks.kept} weights where {wanted} were asked for")
        shapes = {name: tuple(mask.shape) for name, mask in masks.items()}
        expect(shapes == {w.name: w.shape for w in context.weights}, f"gives masks of the shapes {shapes}")


def keeps_what_it_is_told_of_each_weight(criterion: Criterion) -> None:
    """Of patterns: the step divides the size, and each weight keeps its own count."""
    if not isinstance(criterion, PatternCriterion):
        return
    weights = scored_network().weights
    for weight in weights:
        step = criterion.step(weight)
        expect(step >= 1 and weight.numel % step == 0, f"has step {step}, which does not divide {weight.numel} weights")
    counts = _multiples(criterion, weights, sum(w.numel for w in weights) // 2)
    masks = draw_masks(criterion, weights, sum(counts.values()), counts=counts).masks
    expect(dict(masks.counts) == counts, f"keeps {dict(masks.counts)} where {counts} were asked for")


def keeps_the_floors(criterion: Criterion) -> None:
    """Nine weights in every layer and three in every output channel; strict patterns have no floors."""
    context = scored_network()
    if _is_strict(criterion, context.weights):
        return
    for count in (60, 150):
        masks = draw_masks(criterion, context.weights, count, context=context, floors=_FLOORS).masks
        least = min(int(mask.flatten(1).sum(1).min()) for mask in masks.values())
        expect(masks.kept == count, f"keeps {masks.kept} weights with floors where {count} were asked for")
        expect(least >= _FLOORS.per_channel, f"keeps {least} weights in a channel whose floor is {_FLOORS.per_channel}")


def draws_the_same_from_the_same_seed(criterion: Criterion) -> None:
    """Two networks with equal tensors, one seed, equal masks."""
    first, second = (drawn(criterion, scored_network(), 60, seed=2)[0].fingerprint for _ in range(2))
    expect(first == second, "gives other masks for the same seed, weights and data")


def leaves_the_global_generator_alone(criterion: Criterion) -> None:
    """Neither read nor advanced."""
    masks = states_under((1, 2), lambda: drawn(criterion, scored_network(), 60, seed=2)[0].fingerprint)
    expect(masks[0] == masks[1], "gives other masks where torch's global generator stands elsewhere")


def keeps_a_subset_at_lower_density(criterion: Criterion) -> None:
    """Of scores that are computed once: what survives at 40 weights survives at 120."""
    if isinstance(criterion, PatternCriterion) or criterion.rounds > 1:
        return
    context = scored_network()
    large, small = (draw_masks(criterion, context.weights, count, context=context).masks for count in (120, 40))
    extra = [name for name in small if bool((small[name] & ~large[name]).any())]
    expect(not extra, f"keeps weights of {', '.join(extra)} at a lower density that it drops at a higher one")


def leaves_the_network_as_it_was(criterion: Criterion) -> None:
    """Tensors, training modes, requires_grad and gradients."""
    context = scored_network()
    module = context.module
    state = {key: value.clone() for key, value in module.state_dict().items()}
    modes = [child.training for child in module.modules()]
    with torch.no_grad():
        drawn(criterion, context, 60)
    changed = [key for key, value in module.state_dict().items() if not torch.equal(value, state[key])]
    expect(not changed, f"changes {', '.join(changed)}")
    expect([child.training for child in module.modules()] == modes, "changes the training mode of a module")
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    expect(frozen == ["3.weight"], f"changes requires_grad: {frozen} are frozen now, 3.weight was")
    graded = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    kept = list(graded) == ["7.weight"] and bool((graded["7.weight"] == 7).all())  # noqa: PLR2004 - as it was made
    expect(kept, f"changes .grad; {list(graded)} have one now, and 7.weight had one of sevens")


def scores_are_finite_and_of_the_weights_shape(criterion: Criterion) -> None:
    """One detached score for each weight."""
    if isinstance(criterion, PatternCriterion):
        return
    context = scored_network()
    scores = criterion.scores(context)
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    wanted = {w.name: w.shape for w in context.weights}
    expect(shapes == wanted, f"gives scores of the shapes {shapes}; {wanted} are needed")
    for name, score in scores.items():
        expect(bool(torch.isfinite(score).all()), f"gives '{name}' scores that are not finite")
        expect(not score.requires_grad, f"gives '{name}' scores that require a gradient; detach them")


def scores_half_precision(criterion: Criterion) -> None:
    """A network in bfloat16."""
    context = scored_network()
    half = dataclasses.replace(
        context,
        module=context.module.to(torch.bfloat16),
        batches=tuple(((inputs[0].to(torch.bfloat16),), targets) for inputs, targets in context.batches),
    )
    masks, wanted = drawn(criterion, half, 60)
    expect(masks.kept == wanted, f"keeps {masks.kept} of {wanted} weights of a bfloat16 network")


def drawn(criterion: Criterion, context: ScoreContext, count: int, *, seed: int = 0) -> tuple[MaskSet, int]:
    """The masks with `count` weights and that count; for a strict pattern, the nearest multiples of its steps below."""
    counts = None
    if isinstance(criterion, PatternCriterion) and _is_strict(criterion, context.weights):
        counts = _multiples(criterion, context.weights, count)
        count = sum(counts.values())
    try:
        draw = draw_masks(criterion, context.weights, count, context=context, seed=seed, counts=counts)
    except N2NSurgeryError as error:
        size = sum(weight.numel for weight in context.weights)
        raise AssertionError(f"cannot keep {count} of {size} weights: {error}") from error
    return draw.masks, count


def _is_strict(criterion: Criterion, weights: tuple[PrunableWeight, ...]) -> bool:
    return isinstance(criterion, PatternCriterion) and any(criterion.step(weight) > 1 for weight in weights)


def _multiples(criterion: PatternCriterion, weights: tuple[PrunableWeight, ...], count: int) -> dict[str, int]:
    """About `count` weights in all, of each weight a multiple of its step."""
    size = sum(weight.numel for weight in weights)
    return {w.name: (w.numel * count // size) // criterion.step(w) * criterion.step(w) for w in weights}


CRITERION_CHECKS: tuple[Callable[[Criterion], None], ...] = (
    is_a_frozen_value,
    has_plain_fields,
    says_what_it_needs_and_which_kind_it_is,
    keeps_exactly_the_count_it_is_given,
    keeps_what_it_is_told_of_each_weight,
    keeps_the_floors,
    leaves_the_global_generator_alone,
    draws_the_same_from_the_same_seed,
    keeps_a_subset_at_lower_density,
    leaves_the_network_as_it_was,
    scores_are_finite_and_of_the_weights_shape,
    scores_half_precision,
)
