"""What every allocation promises; see `n2nsurgery.masks.allocations` for the protocol."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from n2nsurgery.masks.allocations import Allocation
from n2nsurgery.masks.counts.allocation import apportion
from n2nsurgery.testing.verdict import expect, instance, is_a_frozen_value, keeps_all

_SHAPES = ((16, 3, 3, 3), (32, 16, 3, 3), (32, 32, 1, 1), (10, 32))
_SIZES = tuple(map(prod, _SHAPES))


def check_allocation(allocation: Allocation | type[Any]) -> None:
    """Return where `allocation`, an instance or a class with defaults, keeps the promises of an allocation.

    Raises AssertionError that names the first promise that is broken.
    """
    keeps_all(instance(allocation), ALLOCATION_CHECKS)


def gives_every_item_a_share(allocation: Allocation) -> None:
    """One integer from 0 for each shape, for totals from nothing to everything."""
    for total in (0, 1, 100, sum(_SIZES)):
        shares = allocation.shares(_SHAPES, total, _generator())
        expect(len(shares) == len(_SHAPES), f"gives {len(shares)} shares for {len(_SHAPES)} items")
        whole = all(isinstance(share, int) and not isinstance(share, bool) for share in shares)
        expect(whole, f"gives the shares {shares}; whole numbers are needed, so that the division is exact")
        expect(all(share >= 0 for share in shares), f"gives the shares {shares}; none may be negative")


def divides_every_total_exactly(allocation: Allocation) -> None:
    """The shares divide any total into counts between nothing and each item's size."""
    for total in (1, 100, sum(_SIZES) // 2, sum(_SIZES)):
        shares = allocation.shares(_SHAPES, total, _generator())
        counts = apportion(total, shares, [0] * len(shares), list(_SIZES))
        fits = all(0 <= count <= size for count, size in zip(counts, _SIZES, strict=True))
        expect(sum(counts) == total and fits, f"divides {total} weights into {counts}, for sizes {list(_SIZES)}")


def depends_on_the_generator_alone(allocation: Allocation) -> None:
    """Equal shapes, total and generator give equal shares."""
    first, second = (allocation.shares(_SHAPES, 500, _generator()) for _ in range(2))
    expect(first == second, f"gives {first} and then {second} for the same shapes, total and generator")


def _generator() -> np.random.Generator:
    return np.random.default_rng(0)


ALLOCATION_CHECKS: tuple[Callable[[Allocation], None], ...] = (
    is_a_frozen_value,
    gives_every_item_a_share,
    divides_every_total_exactly,
    depends_on_the_generator_alone,
)
