"""Allocation `global`: what each item gets when weights are drawn from all items together, without replacement.

    (kept_1, ..., kept_m) ~ multivariate hypergeometric (n_1, ..., n_m; total)

In the mean it is `uniform`; small layers vary.
"""

# ruff: noqa: N999 - the file is named like the rule; a registry imports it by name

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from n2nsurgery.core.errors import InternalError, UsageError

_LARGEST = 10**9  # the limit of numpy's sampler


@dataclass(frozen=True, kw_only=True)
class Global:
    """Shares drawn at random; the only rule that needs a generator."""

    def shares(self, shapes: Sequence[tuple[int, ...]], total: int, generator: np.random.Generator | None) -> list[int]:
        """The number of weights drawn from each item; they sum to `total`."""
        if generator is None:
            raise InternalError("the allocation 'global' is random and was given no generator")
        sizes = [prod(shape) for shape in shapes]
        if sum(sizes) >= _LARGEST:
            raise UsageError(
                f"the allocation 'global' can draw from fewer than {_LARGEST:,} weights, not from {sum(sizes):,}: "
                "take 'uniform', which it equals in the mean, or 'erk'"
            )
        return [int(n) for n in generator.multivariate_hypergeometric(sizes, total, method="marginals")]


MEMBER = Global
