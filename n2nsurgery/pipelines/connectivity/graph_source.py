"""Where a report gets its channel graphs from: one function, which a caller may replace by its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from n2nsurgery.connectivity.graph.channel_graph import ChannelGraph
from n2nsurgery.connectivity.graph.graph_options import GraphOptions
from n2nsurgery.connectivity.graph.network_graph import MAX_NODES
from n2nsurgery.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class GraphRequest:
    """Which network to turn into a graph, and how.

    `model`: a name as for apply, the folder of an artifact or of a run (its best weights, or with `last` its newest),
    or an .onnx file; `num_classes` and `input_size` (of one sample) are for names. `conductance`, `identity` and
    `batchnorm` name the conventions behind an edge. Raises UsageError where `max_nodes` is not positive.
    """

    model: str
    conductance: str = "l1"
    identity: str = "edges"
    batchnorm: str = "folded"
    max_nodes: int = MAX_NODES
    allow_import: bool = False
    last: bool = False
    num_classes: int | None = None
    input_size: tuple[int, ...] | None = None
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
    """The graphs of the network that `request` names; raises what its reading raises, and UsageError beyond a bound."""
    from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of  # torch is needed for the reading alone

    rules = GraphOptions(
        weight=request.conductance,  # type: ignore[arg-type]  # it checks its values itself
        identity=request.identity,  # type: ignore[arg-type]
        batchnorm=request.batchnorm,  # type: ignore[arg-type]
    )
    found = subject_of(
        request.model,
        conventions=rules,
        max_nodes=request.max_nodes,
        allow_import=request.allow_import,
        last=request.last,
        num_classes=request.num_classes,
        input_size=request.input_size,
        seed=request.seed,
    )
    return NetworkGraphs(
        graph=found.graph,
        reference=found.dense,
        origin=f"{found.origin.kind} {found.origin.name}",
        kinds=skip_kinds(found.graph, found.dense, {skip.name: skip.kind for skip in found.flow.skips}),
        conventions=found.conventions.sentences,
        notes=found.notes,
    )


def skip_kinds(graph: ChannelGraph, reference: ChannelGraph, kinds: Mapping[str, str]) -> dict[str, str]:
    """The kind of each skip by its block's name: those of `kinds`, and `residual` for what only `graph` adds up.

    A residual skip has no weights and no layer of its own: it is a sum that the dense form lacks.
    """
    known = {block.name for block in reference.blocks}
    sums = {block.name: "residual" for block in graph.blocks if not block.size and block.name not in known}
    return sums | dict(kinds)
