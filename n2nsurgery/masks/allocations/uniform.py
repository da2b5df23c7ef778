"""Allocation `uniform`: every item gets the same density.

    kept_l = d n_l

with the density d and the number n_l of weights of item l.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Shares proportional to the size."""

    def shares(
        self,
        shapes: Sequence[tuple[int, ...]],
        total: int,  # noqa: ARG002 - the protocol's
        generator: np.random.Generator | None,  # noqa: ARG002 - the protocol's
    ) -> list[int]:
        """The number of weights of each item."""
        return [prod(shape) for shape in shapes]


MEMBER = Uniform
