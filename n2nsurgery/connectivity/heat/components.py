"""The connected components of a graph, found by graph search and never by an eigenvalue's tolerance.

Heat flows along edges of positive conductance only. In the heat graph two nodes lie in one component where a path of
such edges joins them. Each component is one zero eigenvalue of L, with the component's indicator as its eigenvector.
Where all kept weights are asked for, edges whose weights have the value 0 join components, too. Negligible edges never
do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from n2nsurgery.connectivity.graph.channel_graph import Block
from n2nsurgery.connectivity.heat.laplacian import Laplacian, LaplacianBlock

Edges = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The nodes at both ends of each edge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphComponents:
    """`labels[i]` is the component of node i, in [0, count); `sizes[c]` the number of nodes of component c."""

    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of components c: the number of zero eigenvalues of L."""
        return len(self.sizes)

    @property
    def isolated(self) -> int:
        """Number of nodes without any edge."""
        return int(np.count_nonzero(self.sizes == 1))

    @cached_property
    def giant(self) -> NDArray[np.bool_]:
        """Which nodes belong to the largest component (the one that begins first, of several)."""
        return np.asarray(self.labels == self.sizes.argmax())

    def means(self, x: NDArray[Any]) -> NDArray[Any]:
        """For each node the mean of `x` over its component: the projection of `x` on the null space of L.

        `x` is one vector of length n or an (n, k) array of columns.
        """
        if self.count == 1:
            return np.broadcast_to(x.mean(axis=0), x.shape)
        if x.ndim > 1:
            return np.stack([self.means(column) for column in x.T], axis=1)
        means: NDArray[Any] = (np.bincount(self.labels, weights=x) / self.sizes).astype(x.dtype, copy=False)
        return means[self.labels]


def components(operator: Laplacian) -> GraphComponents:
    """The components of the graph whose Laplacian is `operator`."""
    forests = [_spanning(panel, operator.nodes) for panel in operator.panels]
    return _joined(operator.nodes, [operator.sparse.nonzero(), *forests])


def with_zero_edges(parts: GraphComponents, zero_edges: Sequence[Edges]) -> GraphComponents:
    """The components where these edges connect as well; `parts` itself where there are none."""
    if not zero_edges:
        return parts
    first = np.unique(parts.labels, return_index=True)[1][parts.labels]
    return _joined(len(parts.labels), [(np.arange(len(first)), first), *zero_edges])


def zero_edges(block: Block) -> Edges:
    """The edges of `block` that have conductance 0, as nodes: the value of every weight kept behind them is 0."""
    if np.count_nonzero(block.weights.data if sp.issparse(block.weights) else block.weights) == block.edges:
        return block.targets[:0], block.sources[:0]
    rows, columns = block.mask.nonzero()
    zero = np.asarray(block.weights[rows, columns]) == 0
    return block.targets[rows[zero]], block.sources[columns[zero]]


def _joined(nodes: int, edges: Sequence[Edges]) -> GraphComponents:
    ends = tuple(np.concatenate(each) for each in zip(*edges, strict=True))
    links = sp.coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(nodes, nodes))
    _, labels = connected_components(links, directed=False)
    return GraphComponents(labels=labels, sizes=np.bincount(labels))


def _spanning(panel: LaplacianBlock, nodes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges of `panel` that connect whatever all its edges connect: for a full layer one for each of its nodes.

    The sources of the busiest target form one group; every other target needs only one edge into that group, besides
    its edges to sources outside it.
    """
    connected = panel.weights > 0
    busiest = int(np.argmax(np.count_nonzero(connected, axis=1)))
    group = connected[busiest]
    targets, sources = (np.arange(nodes)[ends] for ends in (panel.targets, panel.sources))
    inside = np.flatnonzero(connected[:, group].any(axis=1)) if group.any() else np.empty(0, dtype=np.int64)
    first = np.flatnonzero(group)[connected[np.ix_(inside, group)].argmax(axis=1)] if inside.size else inside
    outside, beyond = np.nonzero(connected[:, ~group])
    rows = [np.full(np.count_nonzero(group), busiest), inside, outside]
    columns = [np.flatnonzero(group), first, np.flatnonzero(~group)[beyond]]
    return targets[np.concatenate(rows)], sources[np.concatenate(columns)]
