"""ReportRequest: how a network is turned into the graph that a report is on, by option."""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.connectivity.graph.graph_options import BatchNormRule, GraphOptions, IdentityRule, WeightRule
from n2nsurgery.connectivity.graph.network_graph import MAX_NODES
from n2nsurgery.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """The conventions behind an edge, see `GraphOptions`, and the largest number of channels that is worked on."""

    conductance: WeightRule = GraphOptions.weight
    identity: IdentityRule = GraphOptions.identity
    batchnorm: BatchNormRule = GraphOptions.batchnorm
    max_nodes: int = MAX_NODES

    def __post_init__(self) -> None:
        """Raise UsageError for values that no graph can be made by."""
        GraphOptions(weight=self.conductance, identity=self.identity, batchnorm=self.batchnorm)
        if self.max_nodes < 1:
            raise UsageError(f"max_nodes is {self.max_nodes}; it must be at least 1")
