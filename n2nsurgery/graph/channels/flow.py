"""ChannelFlow: which channels of a network are nodes, and what every weighted layer reads and writes, without weights.

Nodes are the channels of the inputs and the output channels of every call of a weighted layer, numbered group by
group. Layers whose outputs are added up and read nowhere else write to the same nodes. A layer reads `features`, its
input channels; each stands for one node, for several (a gated channel, an attention head's query, key and value), or
for none (a constant).

The same network gives the same flow, number by number, from torch and from an ONNX file: groups and calls are ordered
by their depth in the network and by their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.graph.channels.labels import Labels, Shape
from n2nsurgery.graph.weight_layout import WeightLayout


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """The nodes start <= node < stop belong to the input or layer call called `name`; groups divide all nodes."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerCall:
    """One call of a weighted layer.

    `name` is the weight's without the trailing `weight`, with `#2`, ... for further calls. `weight_shape` and `layout`
    as in PrunableWeight. Feature k, an input channel, stands for the nodes
    feature_nodes[feature_starts[k]:feature_starts[k + 1]]; `targets` are the nodes of the output channels, each once.
    """

    name: str
    weight: str
    weight_shape: Shape
    layout: WeightLayout
    groups: int
    feature_starts: Labels
    feature_nodes: Labels
    targets: Labels

    @property
    def features(self) -> int:
        """Number of input channels."""
        return len(self.feature_starts) - 1

    @cached_property
    def sources(self) -> Labels:
        """The nodes that are read, ascending."""
        return np.unique(self.feature_nodes)

    @property
    def pairs(self) -> int:
        """Pairs of source and target that a dense weight would connect."""
        return len(self.sources) * len(self.targets) // self.groups


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightlessEdges:
    """Edges of conductance 1 from sources[k] to targets[k].

    They come from a sum (`identity`), or lead to the one node of an operation that mixes everything it reads (`hub`).
    """

    name: str
    kind: Literal["identity", "hub"]
    sources: Labels
    targets: Labels


@dataclass(frozen=True, kw_only=True)
class Skip:
    """A grafted skip connection: `name` of its call (or of its sum), and the layers between which it runs."""

    name: str
    kind: str
    source: str
    target: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelFlow:
    """The channels of a network and who reads and writes them.

    `steps` are in the order of execution: whoever writes to a node precedes everyone who reads it. `notes` say, in
    sentences, what was approximated and how.
    """

    groups: tuple[NodeGroup, ...]
    sources: Labels
    sinks: Labels
    steps: tuple[LayerCall | WeightlessEdges, ...]
    skips: tuple[Skip, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.groups[-1].stop if self.groups else 0

    @cached_property
    def calls(self) -> tuple[LayerCall, ...]:
        """The calls of weighted layers."""
        return tuple(step for step in self.steps if isinstance(step, LayerCall))

    @cached_property
    def largest_edges(self) -> int:
        """Edges of the graph where every weight is kept: a bound for every pruned one."""
        return sum(step.pairs if isinstance(step, LayerCall) else len(step.targets) for step in self.steps)


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelNetwork:
    """A flow with what its layers hold.

    `weights` and `masks` by parameter name, in the parameter's own shape; a weight without a mask is whole. `scales`
    by call name: factors of the output channels, |gamma| / sqrt(variance + eps) of a BatchNorm that alone reads the
    call's output. `notes` belong to the weights, the flow's own to the structure.
    """

    flow: ChannelFlow
    weights: Mapping[str, NDArray[Any]]
    masks: Mapping[str, NDArray[np.bool_]]
    scales: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def layer_name(weight: str) -> str:
    """The name of the layer that a parameter belongs to: its own without the trailing `weight`."""
    return weight.removesuffix("weight").rstrip("._") or weight
