"""The Ramanujan gap of a layer: how far its connections are from those of an optimal expander.

A bipartite graph with degrees d_l and d_r is Ramanujan where the second singular value of its 0/1 matrix satisfies

    sigma_2 <= sqrt(d_l - 1) + sqrt(d_r - 1);    gap = sqrt(d_l - 1) + sqrt(d_r - 1) - sigma_2.

Positive: information mixes as fast as degrees allow. Negative: the layer falls into parts that hardly talk to each
other. For irregular layers d_l and d_r are the mean degrees, here of the channels that have an edge at all, so that
dead channels neither help nor harm.

A layer with at most one edge for each channel, as a one-to-one skip or a depthwise convolution has, falls into parts
wherever its edges are. It has no gap.

Hoang, Liu, Marculescu and Wang, Revisiting pruning at initialization through the lens of Ramanujan graph, ICLR 2023;
Marcus, Spielman and Srivastava, Interlacing families I: bipartite Ramanujan graphs of all degrees, Ann. Math. 182
(2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from n2nsurgery.connectivity.graph.channel_graph import Block, Matrix
from n2nsurgery.core.seeds import numpy_generator

DENSE_TO = 256
"""Smaller side of a layer up to which all its singular values are computed."""


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """`sigma_2` of a layer's 0/1 matrix and the `bound` that an optimal expander meets."""

    sigma_2: float
    bound: float

    @property
    def gap(self) -> float:
        """The gap, bound - sigma_2: not negative for a Ramanujan graph."""
        return self.bound - self.sigma_2


def expansion(block: Block) -> Expansion | None:
    """The expansion of one layer; None where it has no more edges than channels at its larger side."""
    mask = block.mask
    if block.edges == 0 or (min(mask.shape) > 1 and block.edges <= max(mask.shape)):
        return None
    rows, columns = (np.count_nonzero(np.asarray(mask.sum(axis=axis))) for axis in (1, 0))
    bound = float((block.edges / rows - 1) ** 0.5 + (block.edges / columns - 1) ** 0.5)
    of_rank_1 = block.edges == rows * columns or min(mask.shape) == 1
    return Expansion(sigma_2=0.0 if of_rank_1 else _second_singular_value(mask), bound=bound)


def _second_singular_value(mask: Matrix) -> float:
    if min(mask.shape) <= DENSE_TO:
        dense = (mask.toarray() if sp.issparse(mask) else mask).astype(np.float64)
        gram = dense @ dense.T if dense.shape[0] <= dense.shape[1] else dense.T @ dense
        return float(np.sqrt(max(np.linalg.eigvalsh(gram)[-2], 0.0)))
    start = numpy_generator(0, "ramanujan").standard_normal(min(mask.shape))
    return float(svds(mask.astype(np.float64), k=2, v0=start, tol=1e-6, return_singular_vectors=False).min())
