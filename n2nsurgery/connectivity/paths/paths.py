"""How many paths lead from the input to the output, and how much they carry; both as logarithms.

Both are sums over all paths of the product of a value of their edges, collected in one sweep. A dense ResNet50 has
1e141 paths and deeper networks more than a float holds, hence the sweep is rescaled after every layer.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log10

import numpy as np

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, Matrix


def log10_paths(graph: ChannelGraph) -> float:
    """log10 of the number of paths from the sources to the sinks, through single weights; -inf where there is none.

    An edge that holds nine kept weights is nine ways to go, an identity edge one.
    """
    return _log10_sum(graph, lambda block: block.kept)


def log10_edge_paths(graph: ChannelGraph) -> float:
    """The same from channel to channel: an edge is one way to go, however many weights it holds."""
    return _log10_sum(graph, lambda block: block.mask)


def log10_path_norm(graph: ChannelGraph) -> float:
    """log10 of the L1 path norm, the sum over all paths of the product of their conductances; -inf where it is 0.

    With conductances sum |w| this is SynFlow's R = 1' prod_l |W_l| 1 (Tanaka et al., NeurIPS 2020) for a network
    whose feature maps are condensed to channels.
    """
    return _log10_sum(graph, lambda block: block.weights)


def _log10_sum(graph: ChannelGraph, values: Callable[[Block], Matrix]) -> float:
    last_read = np.full(graph.nodes, -1)
    for index, block in enumerate(graph.blocks):
        last_read[block.sources] = index
    last_read[graph.sinks] = len(graph.blocks)
    total, exponent = np.zeros(graph.nodes), 0.0
    total[graph.sources] = 1
    for index, block in enumerate(graph.blocks):
        total[block.targets] += values(block) @ total[block.sources]
        total[last_read <= index] = 0  # nobody needs it any more, and rescaling could make it overflow
        largest = total.max()
        if largest == 0:
            return -inf
        total /= largest
        exponent += log10(largest)
    carried = float(total[graph.sinks].sum())
    return exponent + log10(carried) if carried > 0 else -inf
