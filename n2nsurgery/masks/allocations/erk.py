"""Allocation `erk`: Erdos-Renyi-Kernel, small layers denser than large ones.

    density_l ~ (out + in + k_1 + ... + k_m) / (out * in * k_1 * ... * k_m)

so the number kept is proportional to the sum of the dimensions. Layers whose share is over their size become full
and the surplus goes to the others: that is part of the rule.
Source: Evci et al. 2020, "Rigging the Lottery", section 3 (1), after Mocanu et al. 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class ErdosRenyiKernel:
    """Shares proportional to the sum of the dimensions."""

    def shares(
        self,
        shapes: Sequence[tuple[int, ...]],
        total: int,  # noqa: ARG002 - the protocol's
        generator: np.random.Generator | None,  # noqa: ARG002 - the protocol's
    ) -> list[int]:
        """The sum of the dimensions of each item."""
        return [sum(shape) for shape in shapes]


MEMBER = ErdosRenyiKernel
