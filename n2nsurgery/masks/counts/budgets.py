"""Budget: how many weights may live, exact to the last one.

    total = round(d N),   skips = round(r total),   sequential = total - skips

with the density d, the skip ratio r and the number N of prunable weights of the dense model. Both parts are
counted against the dense SEQUENTIAL network: at 10 % and r = 0.5 there are 5 % of N in skips and 5 % in the
pruned layers (N2NSkip paper, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from n2nsurgery.core.errors import BudgetError, UsageError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Exact counts: `reference` dense weights, of which `total` are kept, `skips` of them in skip connections."""

    reference: int
    total: int
    skips: int

    @property
    def sequential(self) -> int:
        """Weights kept in the original layers."""
        return self.total - self.skips

    def with_skips(self, count: int) -> Budget:
        """The same total with exactly `count` weights in skips; BudgetError unless 0 <= count < total."""
        if not 0 <= count < self.total:
            raise BudgetError(
                f"the skips need {count:,} weights, and the budget has {self.total:,} in all: "
                "raise the density or take fewer skips"
            )
        return replace(self, skips=count)


def budget(reference: int, *, density: float, skip_ratio: float = 0.0) -> Budget:
    """The budget of a network with `reference` prunable weights, at `density` in (0, 1], `skip_ratio` in [0, 1).

    Raises UsageError for values out of range (NaN too), BudgetError where not one weight would be kept.
    """
    if not 0 < density <= 1:
        raise UsageError(f"density is {density}; it is the kept fraction and must lie in (0, 1]")
    if not 0 <= skip_ratio < 1:
        raise UsageError(f"skip ratio is {skip_ratio}; the skips' part of the kept weights must lie in [0, 1)")
    total = round(density * reference)
    if total < 1:
        raise BudgetError(f"density {density} of {reference:,} weights keeps none of them: raise the density")
    return Budget(reference=reference, total=total, skips=round(skip_ratio * total))
