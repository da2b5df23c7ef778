"""Division: one number of weights, divided among the skips and the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from n2nsurgery.core.errors import BudgetError, UsageError, about
from n2nsurgery.core.names import select
from n2nsurgery.graph.layers.layer_graph import LayerGraph, LayerPair, PrunableWeight, Rejection
from n2nsurgery.masks.counts.budgets import Budget
from n2nsurgery.masks.counts.costs import ByCost
from n2nsurgery.masks.counts.floors import Floors
from n2nsurgery.masks.criterion import Criterion, PatternCriterion
from n2nsurgery.masks.draw import pattern_counts
from n2nsurgery.skips.spec import SkipSpec
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.skip_plan import skip_counts, widened


@dataclass(frozen=True, kw_only=True)
class Divided:
    """What does not depend on how many weights there are to divide.

    `pairs` are the places of skips and `skips` what stands there, without counts. `junctions`: counts of single layers,
    by the weight's name. `spill`: what does not fit into skips goes to the layers. `nowhere`: why there are no skips.
    """

    graph: LayerGraph
    config: SurgeryConfig
    criterion: Criterion
    floors: Floors
    pairs: tuple[LayerPair, ...]
    skips: tuple[SkipSpec, ...]
    junctions: Mapping[str, int]
    spill: bool
    nowhere: str = ""

    @property
    def by_total(self) -> bool:
        """Whether there is a budget of all weights; else only the layers that say what they keep are pruned."""
        return self.config.density is not None or self.config.macs is not None

    def skips_of(self, total: int) -> Budget:
        """A budget of `total` weights, with the part of the skips that was asked for."""
        return Budget(reference=self.graph.reference_weights, total=total, skips=round(self.ratio * total))

    @property
    def ratio(self) -> float:
        """The part of the skips that was asked for; 0 where they take what they need."""
        return 0.0 if self.config.skip_ratio == "auto" else self.config.skip_ratio


@dataclass(frozen=True, kw_only=True)
class Division:
    """The exact counts: `skips` with theirs, `kept` by weight (None: scores decide), `dense` those kept whole."""

    budget: Budget
    skips: tuple[SkipSpec, ...]
    unserved: tuple[Rejection, ...]
    dense: tuple[str, ...]
    kept: tuple[int, ...] | None
    notes: tuple[str, ...]

    def macs(self, weights: Sequence[PrunableWeight]) -> int:
        """Multiply-accumulates for one sample, of `weights` and of the skips; the counts are known."""
        assert self.kept is not None
        layers = sum(kept * weight.uses for kept, weight in zip(self.kept, weights, strict=True))
        return layers + sum(skip.macs for skip in self.skips)


def divide(asked: Budget, what: Divided, power: int = 0) -> Division:
    """The division of `asked`; `power` is that of `ByCost`, with which the layers share.

    Raises BudgetError where the weights do not fit, UnknownNameError and UsageError as `plan_surgery`.
    """
    skips, notes = widened(what.graph, what.pairs, what.config, what.skips, asked.skips)
    counts, warnings = skip_counts(skips, asked, what.config, spill=what.spill, nowhere=what.nowhere)
    taken = sum(counts.values())
    # Where layers say what they keep, skips are added to that; else they take their part of a given total.
    whole = asked if what.by_total else replace(asked, total=asked.sequential + taken)
    granted = whole.with_skips(taken)
    dense = _kept_dense(what, granted)
    return Division(
        budget=granted,
        skips=tuple(replace(s, kept=counts.get(s.name, 0)) for s in skips if s.weight_shape is None or counts[s.name]),
        unserved=tuple(
            Rejection(source=s.pair.source, target=s.pair.target, reason="the skip budget leaves no weight for it")
            for s in skips
            if s.weight_shape is not None and not counts[s.name]
        ),
        dense=dense,
        kept=_kept(what, granted.sequential, dense, power),
        notes=(*notes, *warnings),
    )


def _kept_dense(what: Divided, granted: Budget) -> tuple[str, ...]:
    """Names of the weights that are kept whole; their size is part of the budget."""
    weights = what.graph.weights
    names = [name for weight in weights for name in (weight.layer, weight.name)]
    with about("ignore"):
        chosen = {name for pattern in what.config.ignore for name in select(pattern, names, kind="layer")}
    beside = not what.by_total
    dense = [w for w in weights if chosen & {w.layer, w.name} or (beside and w.name not in what.junctions)]
    if twice := [weight.layer for weight in dense if weight.name in what.junctions]:
        raise UsageError(f"'{twice[0]}' is to stay dense and to keep a number of its own: ask for one of the two")
    size = sum(weight.numel for weight in dense)
    if size > granted.sequential:
        raise BudgetError(
            f"the layers kept dense have {size:,} weights, and the budget of the original layers is"
            f" {granted.sequential:,}: keep fewer of them dense or raise the density"
        )
    return tuple(weight.name for weight in dense)


def _kept(what: Divided, sequential: int, dense: tuple[str, ...], power: int) -> tuple[int, ...] | None:
    """Counts of all weights, where the criterion is a pattern with an allocation."""
    criterion, weights = what.criterion, what.graph.weights
    if not isinstance(criterion, PatternCriterion):
        return None
    settled = {weight.name: weight.numel for weight in weights if weight.name in dense} | dict(what.junctions)
    pruned = [weight for weight in weights if weight.name not in settled]
    count = sequential - sum(settled.values())
    if not pruned and count:
        raise BudgetError(
            f"the layers keep {sum(settled.values()):,} weights as asked for, and the budget is {sequential:,}: leave"
            " the density out"
        )
    floors = what.floors
    if power and count >= len(pruned):
        floors = replace(floors, per_layer=max(1, floors.per_layer))  # no second budget cuts a layer
    rule = ByCost(rule=criterion.allocation, uses=[weight.uses for weight in pruned], power=power)
    seed = what.config.seed
    shared = pattern_counts(criterion, pruned, count, seed=seed, floors=floors, rule=rule) if pruned else {}
    counts = settled | shared
    return tuple(counts[weight.name] for weight in weights)
