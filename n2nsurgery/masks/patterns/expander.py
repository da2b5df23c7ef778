"""Expander patterns: a random D-regular bipartite graph, as in X-Nets.

Every output channel is connected to D inputs drawn at random without regard to the other outputs, so inputs have D
n_out / n_in connections only on average. Sparse random graphs of this kind are expanders with high probability.
Source: Prabhu et al. 2018, "Deep Expander Networks: Efficient Deep Networks from Graph Theory", section 3.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import BudgetError
from n2nsurgery.core.seeds import numpy_generator

_ROWS_AT_ONCE = 1 << 22  # matrix entries ranked at once: 32 MB of random numbers


def expander(n_out: int, n_in: int, *, degree: int, seed: int) -> Tensor:
    """A random boolean matrix (n_out, n_in) with exactly `degree` True in every row; BudgetError outside [0, n_in]."""
    if not 0 <= degree <= n_in:
        raise BudgetError(f"degree {degree} per output channel: there are {n_in:,} inputs; it must lie in [0, {n_in}]")
    generator = numpy_generator(seed, "expander", f"{n_out}x{n_in}")
    mask = np.zeros((n_out, n_in), dtype=np.bool_)
    rows = max(1, _ROWS_AT_ONCE // n_in)
    for first in range(0, n_out if degree else 0, rows):
        part = mask[first : first + rows]
        chosen = generator.random(part.shape).argpartition(degree - 1, axis=1)[:, :degree]
        np.put_along_axis(part, chosen, values=True, axis=1)
    return torch.from_numpy(mask)
