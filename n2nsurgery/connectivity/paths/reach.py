"""What lies on a path from the input to the output: effective density and dead channels.

A weight counts only if its input channel is reachable from the source and its output channel reaches the sink;
otherwise it is kept, costs memory, and changes nothing. Vysogorets and Kempe, Connectivity matters: neural network
pruning through the lens of effective sparsity, JMLR 24 (2023). Undirected heat is blind to this: it flows through a
channel from behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, Matrix, Nodes
from n2nsurgery.connectivity.paths.scatter_vector import require_junctions
from n2nsurgery.graph.channels.flow import NodeGroup

COLUMNS = 256
"""Start nodes that are swept together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reach:
    """For each node, (n,): whether it is `reachable` from a source, and whether it is `useful`: reaches a sink."""

    reachable: NDArray[np.bool_]
    useful: NDArray[np.bool_]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Whether the node lies on a path from a source to a sink."""
        return self.reachable & self.useful

    def effective_weights(self, block: Block) -> int:
        """How many weights of a layer lie on such a path; 0 for identity edges."""
        return block.weights_between(self.reachable[block.sources], self.useful[block.targets])


def reach(graph: ChannelGraph) -> Reach:
    """One sweep over the edges in each direction; by masks, so that a kept weight of value 0 connects."""
    return Reach(
        reachable=_forwards(graph, marked(graph.nodes, graph.sources)),
        useful=_backwards(graph, marked(graph.nodes, graph.sinks)),
    )


def connections(graph: ChannelGraph) -> NDArray[np.bool_]:
    """(sinks, sources): whether there is a path; swept from the fewer of both, some columns at a time."""
    if len(graph.sources) > len(graph.sinks):
        return _columns(graph, graph.sinks, _backwards)[graph.sources].T
    return _columns(graph, graph.sources, _forwards)[graph.sinks]


def _columns(graph: ChannelGraph, starts: Nodes, sweep: Callable[..., NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """(n, starts): what `sweep` reaches from each start."""
    reached = []
    for first in range(0, len(starts), COLUMNS):
        some = starts[first : first + COLUMNS]
        column = np.zeros((graph.nodes, len(some)), dtype=bool)
        column[some, np.arange(len(some))] = True
        reached.append(sweep(graph, column))
    return np.concatenate(reached, axis=1)


def _forwards(graph: ChannelGraph, start: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is reached from the nodes marked in `start`: (n,), or column by column of (n, k)."""
    reached = start.copy()
    for block in graph.blocks:
        reached[block.targets] |= block.forwards(reached[block.sources])
    return reached


def _backwards(graph: ChannelGraph, start: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What reaches the nodes marked in `start`: (n,), or column by column of (n, k)."""
    reached = start.copy()
    for block in reversed(graph.blocks):
        reached[block.sources] |= block.backwards(reached[block.targets])
    return reached


def marked(nodes: int, chosen: Nodes) -> NDArray[np.bool_]:
    """(nodes,): True at `chosen`."""
    mask = np.zeros(nodes, dtype=bool)
    mask[chosen] = True
    return mask


def effective_density(junctions: Sequence[Matrix]) -> float:
    """Connections on a path from the first layer to the last, as a share of all possible ones; in [0, 1].

    `junctions`: boolean (out, in) matrices, dense or sparse, in order from the input. Raises UsageError where sizes
    do not fit together.

        >>> first = np.array([[True, True], [True, False]])
        >>> effective_density([first, np.array([[True, False]])])  # nobody reads the second unit
        0.5
    """
    graph = chain(junctions)
    found = reach(graph)
    return sum(found.effective_weights(block) for block in graph.layers) / sum(block.size for block in graph.layers)


def chain(junctions: Sequence[Matrix]) -> ChannelGraph:
    """The channel graph of layers "0", "1", ... one after the other; each connection is one weight of conductance 1."""
    kept = require_junctions(junctions)
    sizes = [kept[0].shape[1], *(junction.shape[0] for junction in kept)]
    ends = np.cumsum([0, *sizes])
    layers = [np.arange(start, stop) for start, stop in pairwise(ends)]
    blocks = tuple(
        Block(
            name=str(index),
            sources=layers[index],
            targets=layers[index + 1],
            weights=junction.astype(np.float64),
            kept=junction.astype(np.int64),
            size=prod(junction.shape),
        )
        for index, junction in enumerate(kept)
    )
    groups = tuple(
        NodeGroup(name=name, start=int(nodes[0]), stop=int(nodes[-1]) + 1)
        for name, nodes in zip(("input", *(block.name for block in blocks)), layers, strict=True)
    )
    return ChannelGraph(groups=groups, sources=layers[0], sinks=layers[-1], blocks=blocks)
