"""Counts that a strict pattern can have: multiples of a step in each layer, and still exact in all.

A pattern with fixed fan-outs cannot keep just any number of weights. The share of each layer goes to the nearest
multiple of its step; what is then missing in all is made up in the one layer where that changes the density least.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from n2nsurgery.core.errors import BudgetError

_MOST_SEARCHED = 50
Counts = Mapping[str, int]


def legal_counts(shares_at: Callable[[int], Counts], total: int, *, steps: Counts, sizes: Counts) -> dict[str, int]:
    """The legal counts nearest to the shares of `total`, whose sum it is; all mappings go by the weight's name.

    `shares_at(total)` divides a total without regard to steps. Raises BudgetError, naming a total near by that can be
    kept, where no change of one layer makes the sum exact.
    """
    nearest = _nearest(shares_at(total), steps, sizes)
    if (counts := _repaired(nearest, total, steps, sizes)) is not None:
        return counts
    near = sum(nearest.values())
    for _ in range(_MOST_SEARCHED):
        nearest = _nearest(shares_at(near), steps, sizes)
        if _repaired(nearest, near, steps, sizes) is not None:
            break
        near = sum(nearest.values())
    size = sum(sizes.values())
    raise BudgetError(
        f"{total:,} weights cannot be kept with whole fan-outs: nearest are {near:,} of {size:,} (density"
        f" {near / size!r}); give that, or the fan-out of each layer (--fan-out LAYER=N)"
    )


def _nearest(shares: Counts, steps: Counts, sizes: Counts) -> dict[str, int]:
    """Each share as the nearest multiple of its step, at least one of them where there is a share."""
    return {
        name: min(max(round(share / steps[name]), 1) * steps[name], sizes[name]) if share else 0
        for name, share in shares.items()
    }


def _repaired(counts: Counts, total: int, steps: Counts, sizes: Counts) -> dict[str, int] | None:
    """`counts` with one of them changed so that they sum to `total`, or None."""
    missing = total - sum(counts.values())
    if missing == 0:
        return dict(counts)
    fitting = [
        name for name in counts if missing % steps[name] == 0 and steps[name] <= counts[name] + missing <= sizes[name]
    ]
    if not fitting:
        return None
    least = min(fitting, key=lambda name: abs(missing) / sizes[name])
    return {**counts, least: counts[least] + missing}
