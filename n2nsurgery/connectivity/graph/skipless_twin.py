"""The twin of a network without its skips, at equal non-zeros: what a report answers "did the skips help?" with.

The weights of the skips go to the layers, in proportion to what each keeps and as far as it has room. Their places are
drawn at random among the layer's pruned weights, and each counts as much as the layer's kept weights do on average, so
that the twin differs from the network in the places of its weights alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, Matrix

SEED = 0
"""Of the places that are drawn, so that a report can be repeated."""


def skipless_twin(graph: ChannelGraph, dense: ChannelGraph, skips: Collection[str]) -> ChannelGraph:
    """`graph` without the blocks named in `skips`, whose weights the other layers keep in addition.

    `dense`: the graph of the dense form, which says how many weights a layer has between two channels. Where the layers
    have no room for all, the twin keeps fewer weights.
    """
    capacities = defaultdict(list)
    for block in dense.layers:
        capacities[block.name].append(block)
    kept = [block for block in graph.blocks if block.name not in skips]
    layers = [(block, capacities[block.name].pop(0)) for block in kept if block.size and capacities[block.name]]
    freed = sum(block.kept_weights for block in graph.blocks if block.name in skips)
    generator = np.random.default_rng(SEED)
    fuller = {
        id(block): _with_more(block, full, int(more), generator)
        for (block, full), more in zip(layers, _shares(freed, layers), strict=True)
    }
    blocks = tuple(fuller.get(id(block), block) for block in kept)
    return ChannelGraph(groups=graph.groups, sources=graph.sources, sinks=graph.sinks, blocks=blocks)


def _shares(freed: int, layers: list[tuple[Block, Block]]) -> NDArray[np.int64]:
    """How many weights each layer gets: in proportion to what it keeps, what is left where there is most room."""
    kept = np.array([block.kept_weights for block, _ in layers], dtype=np.int64)
    room = np.array([full.kept_weights for _, full in layers], dtype=np.int64) - kept
    shares: NDArray[np.int64] = np.minimum(freed * kept // max(kept.sum(), 1), room)
    for index in np.argsort(shares - room, kind="stable"):
        shares[index] += min(freed - shares.sum(), room[index] - shares[index])
    return shares


def _with_more(block: Block, full: Block, more: int, generator: np.random.Generator) -> Block:
    if not more:
        return block
    kept, capacity = _array(block.kept_by_feature), _array(full.kept_by_feature)
    free = np.maximum(capacity - kept, 0).astype(np.int64)
    drawn = generator.multivariate_hypergeometric(free.ravel(), more, method="marginals").reshape(free.shape)
    features = block.features
    if features is not None:
        features = replace(features, kept=sp.csr_array(kept + drawn))
        drawn = drawn @ features.nodes.toarray()
    size = block.weights.sum() / block.kept.sum() if block.kept.sum() else full.weights.sum() / full.kept.sum()
    form = sp.csr_array if sp.issparse(block.kept) else np.asarray
    kept, weights = _array(block.kept) + drawn, _array(block.weights) + drawn * size
    return replace(block, kept=form(kept), weights=form(weights), features=features)


def _array(matrix: Matrix) -> NDArray[np.float64]:
    return np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix)
