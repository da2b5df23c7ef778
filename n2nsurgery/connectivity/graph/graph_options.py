"""GraphOptions: how weights become conductances. They change every verdict, so they are a value and can be printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from n2nsurgery.core.config.options import check_options, option

WeightRule = Literal["l1", "l2", "count", "binary"]
IdentityRule = Literal["edges", "none"]
BatchNormRule = Literal["folded", "ignored"]

_WEIGHT = {
    "l1": "The conductance between two channels is the sum of the absolute values of the weights between them.",
    "l2": "The conductance between two channels is the sum of the squares of the weights between them.",
    "count": "The conductance between two channels is the number of weights kept between them.",
    "binary": "The conductance between two channels is 1 where any weight between them is kept.",
}
_IDENTITY = {
    "edges": "A shortcut makes identity edges of conductance 1 from its channels to those of the layer it is added to.",
    "none": "Shortcuts without weights make no edges.",
}
_BATCHNORM = {
    "folded": "A BatchNorm that alone reads a layer is folded into its weights, |gamma| / sqrt(variance + eps).",
    "ignored": "BatchNorm does not count: weights are taken as they are stored.",
}
_NODES = (
    "Nodes are the channels of the input and the output channels of every layer; a linear layer that reads flattened"
    " maps is condensed to their channels."
)
_SUMS = (
    "Layers whose outputs are added up and read by nothing else share their nodes; sums and products of other values"
    " join the channels of all of them."
)


GRAPH = "The graph"
"""The heading of these options in the help of a command."""


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """What stands behind a conductance; raises UnknownNameError, with the field, for an unknown rule."""

    conductance: WeightRule = field(
        default="l1", metadata=option("what the weights between two channels add up to", group=GRAPH)
    )
    identity: IdentityRule = field(
        default="edges", metadata=option("whether shortcuts without weights make edges", group=GRAPH)
    )
    batchnorm: BatchNormRule = field(
        default="folded", metadata=option("whether BatchNorm scales the weights before it", group=GRAPH)
    )

    def __post_init__(self) -> None:
        """Check the names."""
        check_options(self)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The conventions in words."""
        return (
            _WEIGHT[self.conductance],
            _IDENTITY[self.identity],
            _BATCHNORM[self.batchnorm],
            _NODES,
            _SUMS,
            "A weight is there where its mask keeps it, be its value zero or not.",
        )

    def to_json(self) -> dict[str, Any]:
        """The rules and the sentences."""
        rules = {"conductance": self.conductance, "identity": self.identity, "batchnorm": self.batchnorm}
        return {**rules, "sentences": list(self.sentences)}


DEFAULT = GraphOptions()
"""L1 conductances, identity edges, BatchNorm folded."""

MAX_NODES = 200_000
"""Nodes of a graph that is built without being asked for by number."""
