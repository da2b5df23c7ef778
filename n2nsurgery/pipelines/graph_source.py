"""Where a report gets its channel graphs from: one function, which a caller may replace by its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from n2nsurgery.connectivity.channel_graph import ChannelGraph
from n2nsurgery.core.errors import UsageError

MAX_NODES = 200_000


@dataclass(frozen=True, kw_only=True)
class GraphRequest:
    """Which network to turn into a graph, and how.

    `model`: a name as for apply, an artifact's folder or an .onnx file. `conductance`, `identity` and `batchnorm` name
    the conventions behind an edge. Raises UsageError where `max_nodes` is not positive.
    """

    model: str
    conductance: str = "l1"
    identity: str = "edges"
    batchnorm: str = "folded"
    max_nodes: int = MAX_NODES
    allow_import: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the bound."""
        if self.max_nodes < 1:
            raise UsageError(f"--max-nodes is {self.max_nodes}; it must be at least 1")


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkGraphs:
    """The graph of a network and of its own dense form, on the same nodes.

    `kinds`: the kind of each skip, by the name of its block. `conventions` and `notes`: sentences on how the graphs
    were made. `origin`: where the network comes from.
    """

    graph: ChannelGraph
    reference: ChannelGraph
    origin: str
    kinds: Mapping[str, str] = field(default_factory=dict)
    conventions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


GraphSource = Callable[[GraphRequest], NetworkGraphs]


def graphs_of(request: GraphRequest) -> NetworkGraphs:
    """The graphs of the network that `request` names."""
    source = importlib.import_module("n2nsurgery.pipelines.channel_graphs")
    return cast("NetworkGraphs", source.channel_graphs(request))
