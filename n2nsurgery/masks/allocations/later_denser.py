"""Allocation `later-denser`: the later a layer, the denser: densities as 1 : 3 : 5 : ...

    density_l ~ 2 l - 1,   l = 1, 2, ... in the order of execution

"Later junctions should be denser" is stated without numbers; 1 : 3 is where the sweep over two junctions peaks (at 25 %
and 75 %). Layers whose share is over their size become full and the others get the surplus: that is part of the rule.
Source: "Characterizing sparse connectivity patterns in neural networks", section 2.4 and Fig. 3(c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np


@dataclass(frozen=True, kw_only=True)
class LaterDenser:
    """Shares proportional to the size times 1, 3, 5, ..."""

    def shares(
        self,
        shapes: Sequence[tuple[int, ...]],
        total: int,  # noqa: ARG002 - the protocol's
        generator: np.random.Generator | None,  # noqa: ARG002 - the protocol's
    ) -> list[int]:
        """Size times 2 l - 1 of each item, l counted from one."""
        return [prod(shape) * (2 * place + 1) for place, shape in enumerate(shapes)]


MEMBER = LaterDenser
