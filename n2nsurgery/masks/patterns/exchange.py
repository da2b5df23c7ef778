"""Kept places of one weight that are exchanged for others, each function in a time of O(kept places).

Places are indices into the flattened weight: int64, ascending, without repetition, on the CPU.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def grown_at_random(places: Tensor, numel: int, count: int, generator: np.random.Generator) -> Tensor:
    """`count` of the `numel - kept` places outside `places`, ascending; every such set is equally likely.

    0 <= count <= numel - kept. Nothing of the weight's size is made.
    """
    return _outside(places, torch.from_numpy(_ranks(numel - places.numel(), count, generator)))


def joined(one: Tensor, other: Tensor) -> Tensor:
    """The places of both, ascending; they have none in common."""
    return torch.cat([one, other]).sort().values


def carried(values: Tensor, former: Tensor, places: Tensor) -> Tensor:
    """`values`, one for each place of `former`, at those of `places` that were kept before; zero at those that are new.

    `values` may lie on any device.
    """
    if not former.numel() or not places.numel():
        return values.new_zeros(places.numel())
    at = torch.searchsorted(former, places).clamp_(max=former.numel() - 1)
    stayed = (former[at] == places).to(values.device)
    return torch.where(stayed, values[at.to(values.device)], values.new_zeros(()))


def _outside(places: Tensor, ranks: Tensor) -> Tensor:
    """The places outside `places` that are first, second and so on by their `ranks` (from 0)."""
    free_before = places - torch.arange(places.numel())  # free places in front of each kept one
    return ranks + torch.searchsorted(free_before, ranks, right=True)


def _ranks(total: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` distinct whole numbers below `total`, ascending.

    Numbers are drawn until so many are distinct; of more than half of all, those that are left out are drawn.
    """
    if 2 * count > total:
        return np.setdiff1d(np.arange(total), _ranks(total, total - count, generator), assume_unique=True)
    found = np.empty(0, dtype=np.int64)
    while found.size < count:
        found = np.union1d(found, generator.integers(total, size=count - found.size))
    return found
