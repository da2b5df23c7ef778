"""Drawing masks: a criterion, the weights and an exact count become a MaskSet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import InternalError, UsageError
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.allocations import AllocationRule
from n2nsurgery.masks.counts.allocation import allocate
from n2nsurgery.masks.counts.exact_topk import topk, topk_global
from n2nsurgery.masks.counts.floors import NO_FLOORS, Floors
from n2nsurgery.masks.counts.legal_counts import legal_counts
from n2nsurgery.masks.criterion import Criterion, PatternCriterion, ScoreCriterion, make_criterion
from n2nsurgery.masks.grid import to_grid
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.masks.scoring.context import ScoreContext

NEARLY_ALL = 0.9


@dataclass(frozen=True, kw_only=True)
class WeightReport:
    """What is left of one weight: `kept` of `numel`; `dead` of its `outputs` channels have no weight left."""

    name: str
    kept: int
    numel: int
    outputs: int
    dead: int

    @property
    def near_empty(self) -> bool:
        """At least nine tenths of the output channels are dead: little or nothing passes this layer."""
        return self.dead >= NEARLY_ALL * self.outputs


@dataclass(frozen=True, kw_only=True)
class MaskDraw:
    """The masks, what is left of each weight, and the floors that were in force."""

    masks: MaskSet
    report: tuple[WeightReport, ...]
    floors: Floors

    @property
    def near_empty(self) -> tuple[WeightReport, ...]:
        """Layers of which the caller has to warn."""
        return tuple(line for line in self.report if line.near_empty)


def draw_masks(  # noqa: PLR0913 - each is a separate question
    criterion: Criterion | str,
    weights: Sequence[PrunableWeight],
    count: int,
    *,
    context: ScoreContext | None = None,
    seed: int = 0,
    counts: Mapping[str, int] | None = None,
    floors: Floors = NO_FLOORS,
    progress: Progress = SILENT,
) -> MaskDraw:
    """Masks for `weights` with exactly `count` True in all, chosen by `criterion` (a value, or a name).

    `context` is needed by every criterion that `needs` more than nothing; its weights are replaced by `weights`.
    `seed` is for patterns, scores have the context's. `counts` by name, which sum to `count`, take the place of a
    pattern's own allocation. `progress` is called after each round of scoring.
    Raises BudgetError where `count` does not fit between the floors and the number of weights, UsageError where the
    criterion needs a `context` and none is given, UnknownNameError for an unknown name.
    """
    chosen = make_criterion(criterion) if isinstance(criterion, str) else criterion
    floors.least(weights, count)  # raises where the count does not fit
    if isinstance(chosen, PatternCriterion):
        shared = pattern_counts(chosen, weights, count, seed=seed, floors=floors) if counts is None else counts
        masks = _draw_patterns(chosen, weights, shared, seed)
    else:
        if context is None:
            raise UsageError(f"the criterion {type(chosen).__name__} looks at {chosen.needs}: it needs a ScoreContext")
        masks = _draw_by_score(chosen, replace(context, weights=tuple(weights)), count, floors, progress)
    drawn = MaskSet(masks)
    if drawn.kept != count:
        raise InternalError(f"{drawn.kept:,} weights were kept where {count:,} were asked for")
    report = tuple(_report(weight, drawn) for weight in weights)
    return MaskDraw(masks=drawn, report=report, floors=floors)


def pattern_counts(  # noqa: PLR0913 - each is a separate question
    criterion: PatternCriterion,
    weights: Sequence[PrunableWeight],
    count: int,
    *,
    seed: int = 0,
    floors: Floors = NO_FLOORS,
    rule: AllocationRule | None = None,
) -> dict[str, int]:
    """How many of `count` weights a pattern criterion keeps in each of `weights`, by name; what `draw_masks` draws.

    `rule` takes the place of the criterion's own allocation.
    """
    allocation = criterion.allocation if rule is None else rule

    def shares_at(total: int) -> dict[str, int]:
        return _allocate(weights, total, allocation, floors, numpy_generator(seed, "allocation"))

    steps = {weight.name: criterion.step(weight) for weight in weights}
    if all(step == 1 for step in steps.values()):
        return shares_at(count)
    return legal_counts(shares_at, count, steps=steps, sizes={weight.name: weight.numel for weight in weights})


def _draw_patterns(
    criterion: PatternCriterion, weights: Sequence[PrunableWeight], counts: Mapping[str, int], seed: int
) -> dict[str, Tensor]:
    return {
        weight.name: criterion.pattern(weight, counts[weight.name], numpy_generator(seed, "pattern", weight.name))
        for weight in weights
    }


def _allocate(
    weights: Sequence[PrunableWeight],
    count: int,
    rule: AllocationRule,
    floors: Floors,
    generator: np.random.Generator | None = None,
) -> dict[str, int]:
    shapes = {weight.name: weight.shape for weight in weights}
    return allocate(shapes, count, rule, least=floors.least(weights, count), generator=generator)


def _draw_by_score(
    criterion: ScoreCriterion,
    context: ScoreContext,
    count: int,
    floors: Floors,
    progress: Progress,
) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}
    for done, left in enumerate(_schedule(context.weights, count, criterion.rounds), start=1):
        scores = {name: score.detach().cpu() for name, score in criterion.scores(replace(context, kept=kept)).items()}
        if kept and not getattr(criterion, "revives", False):
            scores = {name: score.masked_fill(~kept[name], -torch.inf) for name, score in scores.items()}
        kept = _highest(context.weights, scores, left, criterion.scope, floors)
        context.processes.broadcast(kept.values(), 0)  # one decides: on another machine the last bits may differ
        progress("scoring", done / criterion.rounds)
    return kept


def _schedule(weights: Sequence[PrunableWeight], count: int, rounds: int) -> list[int]:
    """How many weights are left after each round: exponentially from all of them to `count`."""
    size = sum(weight.numel for weight in weights)
    return [*(max(count, round(size * (count / size) ** (done / rounds))) for done in range(1, rounds)), count]


def _highest(
    weights: Sequence[PrunableWeight], scores: Mapping[str, Tensor], count: int, scope: str, floors: Floors
) -> dict[str, Tensor]:
    """The `count` highest scores within the scope, and in any case the highest that the floors ask for."""
    least = floors.least(weights, count)
    keep = {w.name: floors.guaranteed(w, scores[w.name], least[w.name]) for w in weights}
    if scope == "global":
        return topk_global(scores, count, keep=keep)
    counts = _allocate(weights, count, "uniform", floors)
    return {name: topk(score, counts[name], keep=keep[name]) for name, score in scores.items()}


def _report(weight: PrunableWeight, masks: MaskSet) -> WeightReport:
    served = to_grid(masks[weight.name].numpy(), weight).any(axis=(2, 3))
    return WeightReport(
        name=weight.name,
        kept=masks.counts[weight.name],
        numel=weight.numel,
        outputs=served.size,
        dead=int(served.size - np.count_nonzero(served)),
    )
