"""From the channels of a network to its ChannelGraph, and to that of its own dense form."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph
from n2nsurgery.connectivity.graph.condensing import Weighting, block_of
from n2nsurgery.connectivity.graph.graph_options import DEFAULT, MAX_NODES, GraphOptions
from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.channels.flow import ChannelFlow, ChannelNetwork, LayerCall, Skip, WeightlessEdges

EDGES_PER_NODE = 2_000
"""Edges, for each node that is allowed, that a graph may have when dense: 16 bytes each."""


def channel_graph(
    network: ChannelNetwork, options: GraphOptions = DEFAULT, *, max_nodes: int = MAX_NODES
) -> ChannelGraph:
    """The graph of a network as it is: kept weights, skips and shortcuts.

    Raises UsageError where the network has too many channels, or weights that are NaN or infinite.
    """
    require_size(network.flow, max_nodes=max_nodes)
    return _graph(network, options, left_out=frozenset(), dense=False)


def dense_reference(
    network: ChannelNetwork, options: GraphOptions = DEFAULT, *, max_nodes: int = MAX_NODES
) -> ChannelGraph:
    """The graph of the network before it was pruned, as far as it is known; errors as `channel_graph`.

    Without skips, and every absent weight with the mean magnitude of its layer's kept ones. The nodes are the same.
    """
    require_size(network.flow, max_nodes=max_nodes)
    return _graph(network, options, left_out=skip_steps(network.flow), dense=True)


def require_size(flow: ChannelFlow, *, max_nodes: int = MAX_NODES) -> None:
    """Raise UsageError where the graph would have more than `max_nodes` nodes, or too many edges for them."""
    nodes, edges = flow.nodes, flow.largest_edges
    if nodes > max_nodes or edges > max_nodes * EDGES_PER_NODE:
        need = max(nodes, -(-edges // EDGES_PER_NODE))
        raise UsageError(
            f"the channel graph has {nodes:,} nodes and up to {edges:,} edges, about {16 * edges / 1e9:.1f} GB;"
            f" the limit of {max_nodes:,} nodes allows {max_nodes * EDGES_PER_NODE:,} edges: raise it"
            f" (max_nodes={need}, --max-nodes {need}) if the memory is there"
        )


def skip_steps(flow: ChannelFlow) -> frozenset[str]:
    """Names of the steps that the flow's skips made: their calls, or the identity edges of those without weights."""
    calls = {call.name for call in flow.calls}
    found = {skip.name for skip in flow.skips if skip.name in calls}
    for skip in flow.skips:
        if skip.name not in calls and (name := _identity_of(flow, skip, found)) is not None:
            found.add(name)
    return frozenset(found)


def _identity_of(flow: ChannelFlow, skip: Skip, taken: set[str]) -> str | None:
    """The last identity edges from the skip's source to its target."""
    ends = [_nodes_of(flow, name) for name in (skip.source, skip.target)]
    for step in reversed(flow.steps):
        if not isinstance(step, WeightlessEdges) or step.kind != "identity" or step.name in taken:
            continue
        if all(np.isin(nodes, end).any() for nodes, end in zip((step.sources, step.targets), ends, strict=True)):
            return step.name
    return None


def _nodes_of(flow: ChannelFlow, name: str) -> np.ndarray:
    """The nodes that a layer writes, or those of an input."""
    written = [call.targets for call in flow.calls if call.name == name]
    written += [np.arange(group.start, group.stop) for group in flow.groups if group.name == name]
    return np.concatenate(written) if written else np.empty(0, dtype=np.int64)


def _graph(network: ChannelNetwork, options: GraphOptions, *, left_out: frozenset[str], dense: bool) -> ChannelGraph:
    flow = network.flow
    blocks: list[Block] = []
    for step in flow.steps:
        if step.name in left_out:
            continue
        if isinstance(step, LayerCall):
            blocks.append(block_of(step, _held(network, step, options), options.conductance, dense=dense))
        elif step.kind == "hub" or options.identity == "edges":
            blocks.append(_weightless(step))
    return ChannelGraph(groups=flow.groups, sources=flow.sources, sinks=flow.sinks, blocks=tuple(blocks))


def _held(network: ChannelNetwork, call: LayerCall, options: GraphOptions) -> Weighting:
    scale = network.scales.get(call.name) if options.batchnorm == "folded" else None
    return Weighting(weight=network.weights[call.weight], mask=network.masks.get(call.weight), scale=scale)


def _weightless(step: WeightlessEdges) -> Block:
    sources, columns = np.unique(step.sources, return_inverse=True)
    targets, rows = np.unique(step.targets, return_inverse=True)
    ones = np.ones(len(rows))
    edges = sp.csr_array((ones, (rows, columns)), shape=(len(targets), len(sources)))
    return Block(name=step.name, sources=sources, targets=targets, weights=edges, kept=edges.astype(np.int64), size=0)
