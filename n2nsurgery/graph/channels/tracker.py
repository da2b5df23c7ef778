"""ChannelTracker: runs a program on label arrays, and collects nodes and edges on the way.

Where values are added up, three cases are told apart (`fresh`: the output of a weighted layer that nothing else reads):

- both are fresh: their nodes are one and the same, those of the layer on the longer path (a projection shortcut, a
  grafted skip);
- one is fresh: identity edges lead from the other's nodes, a shortcut, to its nodes;
- none is fresh: the sum stands for the nodes of both; whoever reads it reads all of them.

A product (a gate) stands for the nodes of all its factors. An operation that is not followed gets one node of its own,
through which everything that it reads reaches everyone who reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.core.errors import InternalError
from n2nsurgery.graph.channels.flow import layer_name
from n2nsurgery.graph.channels.freshness import fresh_values
from n2nsurgery.graph.channels.inputs import channel_axis
from n2nsurgery.graph.channels.labels import (
    NOTHING,
    Labels,
    Shape,
    Slots,
    along,
    bases,
    compacted,
    distinct_pairs,
)
from n2nsurgery.graph.channels.steps import (
    AnyStep,
    Attention,
    Input,
    LayerStep,
    MatMul,
    Move,
    Opaque,
    Pointwise,
    Program,
    Reduce,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracked:
    """A value on its way.

    `depth`: layers on the longest path to it. `level`: grows from every writer of a node to every reader. `origin`: the
    layer that it comes from, on the longest path.
    """

    labels: Labels
    fresh: bool = False
    depth: int = 0
    level: int = 0
    origin: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class NodeRange:
    """Nodes first, ..., first + count - 1 of the input, layer or hub `name`, written at `level`."""

    name: str
    level: int
    first: int
    count: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """A layer's call: `read` are the distinct pairs (feature, label)."""

    layer: LayerStep
    nodes: NodeRange
    read: Labels
    scale: NDArray[np.float64] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainEdges:
    """Weightless edges, (n, 2) of source and target; `hub`: through an operation that is not followed."""

    name: str
    level: int
    pairs: list[tuple[int, int]]
    hub: bool = False


@dataclass(kw_only=True, eq=False)
class Findings:
    """What the tracker has collected; nodes are provisional numbers, `same` maps a merged node to the one it became."""

    ranges: list[NodeRange] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    edges: list[PlainEdges] = field(default_factory=list)
    same: dict[int, int] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    nodes: int = 0

    def add_nodes(self, name: str, level: int, count: int) -> NodeRange:
        """New nodes."""
        made = NodeRange(name=name, level=level, first=self.nodes, count=count)
        self.nodes += count
        self.ranges.append(made)
        return made


class ChannelTracker:
    """Follows one simplified program; afterwards `findings` and `values` hold the result."""

    def __init__(self, program: Program) -> None:
        self.slots = Slots()
        self.findings = Findings()
        self.values: dict[int, Tracked] = {}
        self._fresh = fresh_values(program)
        self._scales = _scales(program)
        for given in program.inputs:
            self.values[given.value] = self._input(given, program)
        for step in program.steps:
            for value, tracked in zip(step.writes, self._follow(step), strict=True):
                self.values[value] = tracked

    def _input(self, given: Input, program: Program) -> Tracked:
        axis = channel_axis(given, program)
        count = 1 if axis is None else given.shape[axis]
        nodes = self.findings.add_nodes(given.name, 0, count)
        labels = self.slots.singles(nodes.first, count)
        if axis is None:
            return Tracked(labels=np.broadcast_to(labels[0], given.shape))
        return Tracked(labels=along(labels, given.shape, axis))

    def _follow(self, step: AnyStep) -> tuple[Tracked, ...]:
        given = tuple(self.values[value] for value in step.reads)
        if isinstance(step, LayerStep):
            return (self._layer(step, given[0]),)
        if isinstance(step, Pointwise) and step.how == "sum" and len(given) > 1:
            return (self._sum(given, step),)
        arrays = self._moved(step, [value.labels for value in given])
        if arrays is None:
            return self._opaque(step, given)
        return tuple(
            _like(given, np.broadcast_to(compacted(labels), shape), fresh=value in self._fresh)
            for value, labels, shape in zip(step.writes, arrays, step.shapes, strict=True)
        )

    def _moved(self, step: AnyStep, given: list[Labels]) -> list[Labels] | None:
        """The labels of what a step without nodes of its own writes; None where it has to have one."""
        shape = step.shapes[0]
        if isinstance(step, Pointwise):
            return [self.slots.united(given, shape)]
        if isinstance(step, Move):
            moved = list(step.apply(given))
            if tuple(array.shape for array in moved) != step.shapes:
                raise InternalError(
                    f"'{step.operation}' gave labels of shapes {[a.shape for a in moved]}, not {step.shapes}"
                )
            return moved
        if isinstance(step, Reduce):
            united = self.slots.united_along(given[0], step.axes)
            if united is None:
                return None
            axes = tuple(axis % united.ndim for axis in step.axes)
            return [np.broadcast_to(united if step.keepdims else united.squeeze(axes), shape)]
        if isinstance(step, Attention):
            united = self._attention(given, shape)
            return None if united is None else [united]
        assert isinstance(step, Opaque | MatMul)
        return None

    def _layer(self, step: LayerStep, given: Tracked) -> Tracked:
        shape = step.shapes[0]
        count = shape[step.axis]
        nodes = self.findings.add_nodes(step.weight, given.level + 1, count)
        base = np.moveaxis(bases(given.labels)[0], step.axis, 0)
        if base.shape[0] == 1:
            base = np.repeat(base, given.labels.shape[step.axis], axis=0)
        features = np.broadcast_to(np.arange(len(base)).reshape(-1, *(1 for _ in base.shape[1:])), base.shape)
        read, _ = distinct_pairs(features, base)
        call = Call(layer=step, nodes=nodes, read=read, scale=self._scales.get(step.writes[0]))
        self.findings.calls.append(call)
        return Tracked(
            labels=along(self.slots.singles(nodes.first, count), shape, step.axis),
            fresh=step.writes[0] in self._fresh,
            depth=given.depth + 1,
            level=given.level + 1,
            origin=step.weight,
        )

    def _sum(self, given: tuple[Tracked, ...], step: Pointwise) -> Tracked:
        total = given[0]
        for other in given[1:]:
            total = self._added(total, other, step.shapes[0])
        return _like((total,), compacted(total.labels), fresh=step.writes[0] in self._fresh)

    def _added(self, first: Tracked, second: Tracked, shape: Shape) -> Tracked:
        hosts = [value for value in (first, second) if self._can_host(value, shape)]
        if not hosts:
            return _like((first, second), self.slots.united([first.labels, second.labels], shape))
        host = min(hosts, key=lambda value: (-value.depth, value.origin))
        guest = second if host is first else first
        own, other = bases(host.labels, np.broadcast_to(guest.labels, shape))
        pairs, inverse = distinct_pairs(own, other)
        meeting = pairs[(pairs != NOTHING).all(axis=1)]
        if self._homes(meeting[:, 0]) & self._homes(meeting[:, 1]):  # the halves of one layer's output, say
            return _like((first, second), self.slots.united([first.labels, second.labels], shape))
        edges: list[tuple[int, int]] = []
        if guest.fresh and self._can_merge(meeting):
            self.findings.same.update((self.slots.sets[b][0], self.slots.sets[a][0]) for a, b in meeting.tolist())
        else:
            edges = [(node, self.slots.sets[a][0]) for a, b in meeting.tolist() for node in self.slots.sets[b]]
        result = np.where(pairs[:, 0] == NOTHING, pairs[:, 1], pairs[:, 0])[inverse].reshape(own.shape)
        level = max(first.level, second.level) + bool(edges)
        if edges:
            self.findings.edges.append(PlainEdges(name=f"{layer_name(host.origin)}.add", level=level, pairs=edges))
        labels = np.broadcast_to(result, shape)
        return Tracked(labels=labels, fresh=True, depth=host.depth, level=level, origin=host.origin)

    def _can_host(self, value: Tracked, shape: Shape) -> bool:
        """Fresh, not broadcast (its channels would run together), and of one node for each entry at most."""
        return value.fresh and value.labels.shape == shape and self._single(value.labels)

    def _single(self, labels: Labels) -> bool:
        return all(len(self.slots.sets[label]) <= 1 for label in np.unique(bases(labels)[0]).tolist())

    def _can_merge(self, meeting: Labels) -> bool:
        """The nodes of both correspond one to one."""
        one_to_one = all(len(np.unique(column)) == len(column) for column in meeting.T)
        return one_to_one and all(len(self.slots.sets[label]) == 1 for label in meeting[:, 1].tolist())

    def _homes(self, labels: Labels) -> set[int]:
        """The inputs and layers, by their position, whose nodes the labels name."""
        nodes = [node for label in set(labels.tolist()) for node in self.slots.sets[label]]
        return set(np.searchsorted([given.first for given in self.findings.ranges], nodes, side="right").tolist())

    def _attention(self, given: list[Labels], shape: Shape) -> Labels | None:
        """Channel j of a head's output stands for the head's query, key and value channels j."""
        query, key, value = given
        sides = [
            self.slots.united_along(array, [axis])
            for array, axis in ((query, -2), (key.swapaxes(-1, -2), -2), (value, -2))
        ]
        rows = [side for side in sides if side is not None]
        lead = (*shape[:-2], 1, shape[-1])
        if len(rows) < len(sides) or any(row.size != np.prod(lead) for row in rows):
            return None
        self.findings.notes[
            "Attention is followed channel by channel: channel j of a head's output is read from the head's query, key"
            " and value channels j."
        ] = None
        return self.slots.united([np.broadcast_to(row.reshape(lead), shape) for row in rows], shape)

    def _opaque(self, step: AnyStep, given: tuple[Tracked, ...]) -> tuple[Tracked, ...]:
        labels = sorted({label for value in given for label in np.unique(bases(value.labels)[0]).tolist()})
        nodes = sorted({node for label in labels for node in self.slots.sets[label]})
        level = max(value.level for value in given) + 1
        hub = self.findings.add_nodes(step.operation, level, 1)
        edges = [(node, hub.first) for node in nodes]
        self.findings.edges.append(PlainEdges(name=step.operation, level=level, pairs=edges, hub=True))
        self.findings.notes[
            f"'{step.operation}' mixes channels in a way that is not followed: everything it reads is tied, with"
            " conductance 1, to one node that stands for its whole output."
        ] = None
        made = self.slots.label((hub.first,))
        return tuple(_like(given, np.broadcast_to(np.int64(made), shape), level=level) for shape in step.shapes)


def _like(given: tuple[Tracked, ...], labels: Labels, *, fresh: bool = False, level: int = 0) -> Tracked:
    """A value made from `given`."""
    deepest = min(given, key=lambda value: (-value.depth, value.origin))
    level = max(level, *(value.level for value in given))
    return Tracked(labels=labels, fresh=fresh, depth=deepest.depth, level=level, origin=deepest.origin)


def _scales(program: Program) -> dict[int, NDArray[np.float64]]:
    """Of every value that a BatchNorm alone reads, the factors of that BatchNorm."""
    readers: dict[int, list[AnyStep]] = {}
    for step in program.steps:
        for value in step.reads:
            readers.setdefault(value, []).append(step)
    alone = {value: steps[0] for value, steps in readers.items() if len(steps) == 1 and value not in program.outputs}
    return {
        value: step.scale for value, step in alone.items() if isinstance(step, Pointwise) and step.scale is not None
    }
