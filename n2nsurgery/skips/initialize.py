"""Start values of sparse skip weights.

One-to-one weights start at 1/n where n skips reach the target, so that the weights arriving at one channel sum to
at most 1, and at .25/n beside an identity shortcut, where full weights diverge. Kept weights beyond the one-to-one
ones start near zero, not at zero: where the branch is gated by ReLU, relu'(0) = 0 would freeze them for ever.
Random patterns follow Kaiming normal, std = sqrt(2 / fan-in) (He et al. 2015), with the fan-in that is left by the
mask instead of the dense one.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError

BESIDE_SHORTCUT = 0.25
NEAR_ZERO = 1e-6


def one_to_one_start(incoming: int, *, shortcut: bool) -> float:
    """Start of a one-to-one weight: 1/n for n = `incoming` skips at its target, .25/n beside a `shortcut`."""
    if incoming < 1:
        raise UsageError(f"{incoming} skips reach the target; a start value needs at least 1")
    return (BESIDE_SHORTCUT if shortcut else 1.0) / incoming


def effective_fan_in(mask: Tensor) -> float:
    """Mean number of kept weights of the output channels that have any; 0 where nothing is kept."""
    kept = mask.flatten(1).sum(dim=1)
    served = int((kept > 0).sum())
    return float(kept.sum()) / served if served else 0.0


@torch.no_grad()
def initialize(
    weight: Tensor,
    mask: Tensor,
    *,
    start: float | None,
    generator: torch.Generator,
    primary: Tensor | None = None,
) -> None:
    """Fill `weight` in place with start values on the kept entries of the boolean `mask` and zeros elsewhere.

    A one-to-one pattern has a `start` value, which the kept entries marked by `primary` take (None: all of them);
    a random pattern has none. Draws are made on the CPU in float32, one per drawn entry in the order of the flat
    index, so that `weight`'s device and dtype do not change them. Raises UsageError for masks of another shape.
    """
    _check(weight, mask, primary)
    mask = mask.cpu()
    weight.zero_()
    if start is None:
        _place(weight, mask, _kaiming(mask, generator))
        return
    first = mask if primary is None else mask & primary.cpu()
    rest = mask & ~first
    _place(weight, rest, NEAR_ZERO * torch.randn(_count(rest), generator=generator))
    weight.masked_fill_(first.to(weight.device), start)


def _place(weight: Tensor, mask: Tensor, values: Tensor) -> None:
    """Write `values`, in the order of the flat index, to the entries of `mask`."""
    positions = torch.from_numpy(np.flatnonzero(mask.numpy()))
    weight.view(-1)[positions.to(weight.device)] = values.to(weight)


def _count(mask: Tensor) -> int:
    return int(np.count_nonzero(mask.numpy()))


def _kaiming(mask: Tensor, generator: torch.Generator) -> Tensor:
    draws = torch.randn(_count(mask), generator=generator)
    fan_in = effective_fan_in(mask)
    return draws * sqrt(2.0 / fan_in) if fan_in else draws


def _check(weight: Tensor, mask: Tensor, primary: Tensor | None) -> None:
    for name, other in (("mask", mask), ("primary", primary)):
        if other is not None and (other.shape != weight.shape or other.dtype != torch.bool):
            raise UsageError(
                f"{name} is {other.dtype} of shape {tuple(other.shape)}; "
                f"a weight of shape {tuple(weight.shape)} needs torch.bool of the same shape"
            )
