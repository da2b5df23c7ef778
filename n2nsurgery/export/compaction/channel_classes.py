"""Which channels of a graph can go: classes of channels that stay or go together, and what stands against each.

A class goes where no product needs it: each weight that reads one of its channels is zero, or belongs to an output
that goes as well, or meets a constant which the product's bias takes over. Least fixed point from below: a class is
removed only for reasons that the classes removed before it supply.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from n2nsurgery.export.compaction.channel_constants import Floats
from n2nsurgery.export.compaction.channel_rules import Integers, Product, channels, product, ties

Booleans = NDArray[np.bool_]


@dataclass(kw_only=True, eq=False)
class ChannelConstraints:
    """Every channel of every computed value has a number; `start` is that of a value's first channel."""

    start: dict[ir.Value, int] = field(default_factory=dict)
    constants: dict[ir.Value, Floats] = field(default_factory=dict)
    products: list[Product] = field(default_factory=list)
    pinned: list[Integers] = field(default_factory=list)
    edges: list[tuple[Integers, Integers]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def numbers(self, value: ir.Value) -> Integers:
        """The numbers of a value's channels; a value that is seen first is not constant."""
        count = channels(value) or 0
        if value not in self.start:
            self.start[value] = self.size
            self.constants[value] = np.full(count, np.nan)
            self.size += count
        return self.start[value] + np.arange(count)

    def constant(self, value: ir.Value) -> Floats:
        """Constants of a value's channels, NaN where there is none."""
        self.numbers(value)
        return self.constants[value]

    def pin(self, values: Iterable[ir.Value | None]) -> None:
        """Keep every channel of these values where it is."""
        for value in values:
            if value is not None and channels(value) is not None:
                self.pinned.append(self.numbers(value))


def channel_constraints(graph: ir.Graph) -> ChannelConstraints:
    """The ChannelConstraints of `graph`, constants propagated from its inputs to its outputs."""
    found = ChannelConstraints()
    found.pin((*graph.inputs, *graph.outputs))
    for node in graph:
        if mixing := product(node):
            found.products.append(mixing)
            found.numbers(mixing.source)
            target = node.outputs[0]
            found.numbers(target)
            found.constants[target] = _after(mixing, found.constant(mixing.source))
        elif kept_apart := ties(node, found.constant):
            for source, there, target, here in kept_apart.pairs:
                found.edges.append((found.numbers(source)[there], found.numbers(target)[here]))
            found.constants[node.outputs[0]] = kept_apart.constant
        elif node.op_type != "Constant":
            found.refused[str(node.name)] = f"no rule says that {node.op_type} keeps channels apart: all around it stay"
            found.pin((*node.inputs, *node.outputs))
            found.pin(value for branch in _branches(node) for inner in branch for value in inner.inputs)
    return found


def removed_channels(found: ChannelConstraints) -> dict[ir.Value, Booleans]:
    """For each value, which of its channels go; every value keeps at least one."""
    sources = np.concatenate([np.empty(0, np.int64), *(one for one, _ in found.edges)])
    targets = np.concatenate([np.empty(0, np.int64), *(other for _, other in found.edges)])
    links = coo_matrix((np.ones(len(sources), np.bool_), (sources, targets)), shape=(found.size, found.size))
    count, classes = connected_components(links, directed=False)
    pinned = np.zeros(count, np.bool_)
    for numbers in found.pinned:
        pinned[classes[numbers]] = True
    while True:
        gone = _fixed_point(found, classes, pinned)
        empty = [n for value in found.start if len(n := found.numbers(value)) and gone[classes[n]].all()]
        if not empty:
            return {value: gone[classes[found.numbers(value)]] for value in found.start}
        for numbers in empty:
            pinned[classes[numbers[0]]] = True


def _fixed_point(found: ChannelConstraints, classes: Integers, pinned: Booleans) -> Booleans:
    """Which classes go, one flag each."""
    gone = np.zeros_like(pinned)
    while True:
        needed = pinned.copy()
        for mixing in found.products:
            kept_outputs = ~gone[classes[found.numbers(mixing.node.outputs[0])]]
            read = mixing.reads[kept_outputs].any(axis=0)
            read &= ~foldable(mixing, found.constant(mixing.source))
            needed[classes[found.numbers(mixing.source)[read]]] = True
        # A class without any reader goes too: what it computes reaches no output of the model.
        if (~needed == gone).all():
            return gone
        gone = ~needed


def foldable(mixing: Product, constant: Floats) -> Booleans:
    """Which input channels hold a constant that adds the same to every output position."""
    return constant == 0 if mixing.padded else np.isfinite(constant)


def _after(mixing: Product, before: Floats) -> Floats:
    """Constants of a product's outputs: all inputs that an output reads are foldable constants."""
    usable = foldable(mixing, before)
    mixed = mixing.reads[:, ~usable].any(axis=1)
    return np.where(mixed, np.nan, mixing.fed(np.where(usable, before, 0)) + mixing.bias)


def _branches(node: ir.Node) -> Iterable[ir.Graph]:
    return (attribute.as_graph() for attribute in node.attributes.values() if attribute.type == ir.AttributeType.GRAPH)
