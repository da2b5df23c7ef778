"""Dynamics `gmp`: weights are pruned by magnitude while they are trained, down to an exact final number.

    kept(t) = final + (start - final) (1 - (t - t0) / (T - t0))^3

after t steps, with t0 and T at the parts `begin` and `until` of the run. What is pruned stays so. A run begins with
many kept weights, as with `surgery.density: 1`, or from trained ones. Epochs before T are not ranked: their weights are
more than the final ones.
Source: Zhu and Gupta 2017, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
equation 1, where all weights are pruned to one sparsity: scope `layer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from n2nsurgery.core.validation import above, is_count, require, within
from n2nsurgery.masks.counts.budgets import budget
from n2nsurgery.masks.counts.exact_topk import topk, topk_global
from n2nsurgery.training.dynamics import Moment, Needs, Weights
from n2nsurgery.training.schedules import Span


@dataclass(frozen=True, kw_only=True)
class GradualMagnitudePruning:
    """`final` in (0, 1]: the part of the weights kept at the start that is kept at the end.

    `every`: steps between two prunings. `begin` in [0, 1) and `until` in (0, 1], `begin` below `until`: the parts of
    the run between which it is pruned. `scope`: magnitudes compete over all weights (`global`), where each keeps one
    entry at least, or every weight is pruned by the same part (`layer`).
    """

    needs: ClassVar[Needs] = "weights"
    final: float = 0.1
    every: int = 100
    begin: float = 0.0
    until: float = 0.75
    scope: Literal["global", "layer"] = "global"

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        require(above(self.final, 0) and self.final <= 1, "dynamics.final", self.final, "in (0, 1]")
        require(is_count(self.every, 1), "dynamics.every", self.every, "a whole number from 1")
        require(above(self.until, 0) and self.until <= 1, "dynamics.until", self.until, "in (0, 1]")
        require(within(self.begin, 0, self.until), "dynamics.begin", self.begin, f"in [0, {self.until:g})")
        require(self.scope in {"layer", "global"}, "dynamics.scope", self.scope, "layer or global")

    @property
    def keeps_counts(self) -> bool:
        """Weights lose entries."""
        return False

    def is_due(self, step: int, span: Span) -> bool:
        """After every `every` steps, and after the one at which the final number is reached."""
        first, last = self._ends(span)
        return step == last or (first < step < last and step % self.every == 0)

    def kept(self, start: int, step: int, span: Span) -> int:
        """By the equation, at the last pruning that was due; exactly the final number from T on."""
        first, last = self._ends(span)
        pruned = last if step >= last else max(first, step - step % self.every)
        final = budget(start, density=self.final).total
        return final + round((start - final) * (1 - (pruned - first) / (last - first)) ** 3)

    def places(self, weights: Weights, moment: Moment) -> dict[str, Tensor]:
        """The places of the largest entries, `moment.kept` in all; ties by the order of weights, then by flat index."""
        sizes = {name: weight.values.abs() for name, weight in weights.items()}
        if self.scope == "layer":
            counts = _proportional([weight.kept for weight in weights.values()], moment.kept)
            kept = {name: topk(size, count) for (name, size), count in zip(sizes.items(), counts, strict=True)}
        else:
            first = {name: topk(size, min(1, size.numel())) for name, size in sizes.items()}
            enough = moment.kept >= sum(int(mask.sum()) for mask in first.values())
            kept = topk_global(sizes, moment.kept, keep=first if enough else None)
        return {name: weight.places[kept[name]] for name, weight in weights.items()}

    def _ends(self, span: Span) -> tuple[int, int]:
        """t0 and T in steps."""
        last = max(1, round(self.until * span.steps))
        return min(round(self.begin * span.steps), last - 1), last


def _proportional(kept: list[int], total: int) -> list[int]:
    """Whole numbers in proportion to `kept` that add up to `total`: the largest remainders are rounded up."""
    shares = [divmod(count * total, max(1, sum(kept))) for count in kept]
    missing = total - sum(whole for whole, _ in shares)
    raised = topk(torch.tensor([left for _, left in shares], dtype=torch.float64), missing).tolist()
    return [whole + int(up) for (whole, _), up in zip(shares, raised, strict=True)]


MEMBER = GradualMagnitudePruning
