"""Dividing an exact number of weights among layers or skips of limited size.

With the shares s_l of a rule (see `allocations/`), item l gets

    kept_l = min(max(lambda s_l, least_l), capacity_l),   sum of kept_l = total,

rounded by the largest remainder, ties by position. All arithmetic is on integers: the result is exact to the last
weight and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod

import numpy as np

from n2nsurgery.core.errors import BudgetError
from n2nsurgery.masks.allocations import AllocationRule, allocation_of


def allocate(  # noqa: PLR0913 - each is a separate question
    shapes: Mapping[str, tuple[int, ...]],
    total: int,
    rule: AllocationRule = "erk",
    *,
    capacities: Mapping[str, int] | None = None,
    least: Mapping[str, int] | None = None,
    generator: np.random.Generator | None = None,
) -> dict[str, int]:
    """How many of `total` weights each item (name -> shape of its weight) gets by `rule`, a name or an object.

    `capacities` is the most an item may hold (its size, where not given), `least` what it gets in any case (0). An
    item whose share is over its capacity becomes full and the others get the surplus. Raises BudgetError where `total`
    does not fit between the sums of `least` and `capacities`. Only the rule `global` needs the `generator`. Each rule
    names its source in its own file.
    """
    most = {name: prod(shape) if capacities is None else capacities[name] for name, shape in shapes.items()}
    floors = {name: min((least or {}).get(name, 0), most[name]) for name in shapes}
    if not sum(floors.values()) <= total <= sum(most.values()):
        raise BudgetError(_misfit(total, sum(floors.values()), sum(most.values())))
    shares = allocation_of(rule).shares(list(shapes.values()), total, generator)
    counts = apportion(total, shares, list(floors.values()), list(most.values()))
    return dict(zip(shapes, counts, strict=True))


def apportion(total: int, shares: Sequence[int], least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Integers that sum to `total`, proportional to `shares` within their bounds, rounded by largest remainder.

    Needs sum(least) <= total <= sum(most) and a share > 0 wherever least < most.
    """
    ideal = [Fraction(0)] * len(shares)
    active = list(range(len(shares)))
    remaining = Fraction(total)
    while active:
        scale = remaining / (sum(shares[i] for i in active) or 1)
        for i in active:
            ideal[i] = scale * shares[i]
        over = [i for i in active if ideal[i] > most[i]]
        under = [i for i in active if ideal[i] < least[i]]
        if not over and not under:
            break
        # Only the side with the larger violation is settled: settling it moves the scale towards the other side's
        # bounds, where violations of the smaller side may disappear.
        surplus, shortage = sum(ideal[i] - most[i] for i in over), sum(least[i] - ideal[i] for i in under)
        settled, bounds = (over, most) if surplus >= shortage else (under, least)
        for i in settled:
            ideal[i] = Fraction(bounds[i])
        remaining -= sum(bounds[i] for i in settled)
        active = [i for i in active if i not in set(settled)]
    counts = [int(value) for value in ideal]
    by_remainder = sorted(range(len(ideal)), key=lambda i: (counts[i] - ideal[i], i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def _misfit(total: int, least: int, most: int) -> str:
    if total > most:
        return f"{total:,} weights do not fit: there is room for {most:,}"
    return f"the floors ask for {least:,} weights, and {total:,} may be kept: lower the floors or raise the density"
