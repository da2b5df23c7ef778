"""Counts that a strict pattern can have: multiples of a step in each layer, and still exact in all.

A pattern with fixed fan-outs cannot keep just any number of weights. The share of each layer goes to the nearest
multiple of its step; what is then missing in all is made up in the one layer where that changes the density least.
"""

from __future__ import annotations

from collections.abc import Mapping

from n2nsurgery.core.errors import BudgetError


def legal_counts(
    shares: Mapping[str, int], total: int, *, steps: Mapping[str, int], sizes: Mapping[str, int]
) -> dict[str, int]:
    """The legal counts nearest to `shares` that sum to `total`; all mappings go by the weight's name.

    Raises BudgetError, naming the nearest legal total, where no change of one layer makes the sum exact.
    """
    counts = {name: _nearest(share, steps[name], sizes[name]) for name, share in shares.items()}
    missing = total - sum(counts.values())
    if missing == 0:
        return counts
    fitting = [
        name for name in counts if missing % steps[name] == 0 and steps[name] <= counts[name] + missing <= sizes[name]
    ]
    if not fitting:
        near, size = sum(counts.values()), sum(sizes.values())
        raise BudgetError(
            f"{total:,} weights cannot be kept with whole fan-outs: nearest are {near:,} of {size:,}"
            f" (density {near / size!r}); give that, or the fan-out of each layer (--fan-out LAYER=N)"
        )
    least = min(fitting, key=lambda name: abs(missing) / sizes[name])
    return {**counts, least: counts[least] + missing}


def _nearest(share: int, step: int, size: int) -> int:
    if share == 0:
        return 0
    return min(max(round(share / step), 1) * step, size)
