"""Allocation `erk-squared`: the densities of Erdos-Renyi-Kernel squared, small layers denser still.

    density_l ~ ((out + in + k_1 + ... + k_m) / (out * in * k_1 * ... * k_m)) ** 2

Square layers of one kernel size keep about equally many weights, however wide they are. In deep plain networks with
skips that trained better than `erk` at equal non-zeros, and without shortcuts it was better for random pruning, too;
in ResNets it was no better (docs/reproduction.md). It moves weights to early layers with large maps, so the kept
weights take more multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm, prod
from typing import ClassVar

import numpy as np


@dataclass(frozen=True, kw_only=True)
class ErdosRenyiKernelSquared:
    """Shares proportional to the square of the sum of the dimensions over the size."""

    clips: ClassVar[bool] = True

    def shares(
        self,
        shapes: Sequence[tuple[int, ...]],
        total: int,  # noqa: ARG002 - the protocol's
        generator: np.random.Generator | None,  # noqa: ARG002 - the protocol's
    ) -> list[int]:
        """sum(dimensions)^2 / size of each item, over one denominator."""
        whole = lcm(*(prod(shape) for shape in shapes))
        return [sum(shape) ** 2 * (whole // prod(shape)) for shape in shapes]


MEMBER = ErdosRenyiKernelSquared
