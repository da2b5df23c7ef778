"""Which share of all paths from the input to the output runs through each block.

With f(v) the number of paths from the sources to node v and b(v) that from v to the sinks,

    share(block) = sum_ij f(j) kept[i, j] b(i) / sum over sinks of f.

All are counted as logarithms, node by node: a deep network has more paths than a float holds, and residual sums join
nodes whose counts lie hundreds of decades apart. The shares of blocks that every path has to cross are 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.connectivity.graph.channel_graph import ChannelGraph, Matrix, Nodes
from n2nsurgery.connectivity.heat.laplacian import Vector


def path_shares(graph: ChannelGraph) -> tuple[float, ...]:
    """The share of each block of `graph`, in [0, 1], in their order; 0 throughout where no path is left."""
    forwards, backwards = _nothing(graph, graph.sources), _nothing(graph, graph.sinks)
    for block in graph.blocks:
        _add(forwards, block.targets, _times(block.kept, forwards[block.sources]))
    for block in reversed(graph.blocks):
        _add(backwards, block.sources, _times(block.kept.T, backwards[block.targets]))
    total = np.logaddexp.reduce(forwards[graph.sinks])
    if total == -np.inf:
        return (0.0,) * len(graph.blocks)
    through = (
        np.logaddexp.reduce(backwards[block.targets] + _times(block.kept, forwards[block.sources]), initial=-np.inf)
        for block in graph.blocks
    )
    return tuple(float(min(np.exp(each - total), 1.0)) for each in through)


def _nothing(graph: ChannelGraph, starts: Nodes) -> Vector:
    counts = np.full(graph.nodes, -np.inf)
    counts[starts] = 0
    return counts


def _add(counts: Vector, nodes: Nodes, more: Vector) -> None:
    counts[nodes] = np.logaddexp(counts[nodes], more)


def _times(matrix: Matrix, logarithms: NDArray[np.float64]) -> Vector:
    """log(matrix @ exp(logarithms)), scaled by the largest."""
    largest = logarithms.max(initial=-np.inf)
    if largest == -np.inf:
        return np.full(matrix.shape[0], -np.inf)
    with np.errstate(divide="ignore"):
        product: Vector = np.log(matrix @ np.exp(logarithms - largest)) + largest
    return product
