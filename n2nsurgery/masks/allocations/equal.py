"""Allocation `equal`: every item gets the same number of weights, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Equal:
    """The same share for all."""

    def shares(
        self,
        shapes: Sequence[tuple[int, ...]],
        total: int,  # noqa: ARG002 - the protocol's
        generator: np.random.Generator | None,  # noqa: ARG002 - the protocol's
    ) -> list[int]:
        """One for each item."""
        return [1] * len(shapes)


MEMBER = Equal
