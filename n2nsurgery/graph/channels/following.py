"""From a program to its ChannelFlow: track, then number everything in an order that any front end arrives at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.channels.flow import ChannelFlow, LayerCall, NodeGroup, WeightlessEdges, layer_name
from n2nsurgery.graph.channels.labels import Labels, bases
from n2nsurgery.graph.channels.simplify import simplified
from n2nsurgery.graph.channels.steps import Program
from n2nsurgery.graph.channels.tracker import Call, ChannelTracker, Findings, NodeRange, PlainEdges


def follow(program: Program) -> tuple[ChannelFlow, dict[str, NDArray[np.float64]]]:
    """The flow of `program`, and by call name the factors of BatchNorms that alone read a call's output.

    Raises UsageError where no weighted layer lies between the inputs and the outputs.
    """
    simple = simplified(program)
    tracker = ChannelTracker(simple)
    if not tracker.findings.calls:
        raise UsageError("no weighted layer (conv, linear) lies between the network's inputs and outputs")
    found = tracker.findings
    names = _call_names(found.calls)
    numbers, groups = _numbered(found, names)
    steps = [*_calls(tracker, names, numbers), *_weightless(found.edges, numbers)]
    outputs = [tracker.values[value].labels for value in simple.outputs if value in tracker.values]
    inputs = found.ranges[: len(simple.inputs)]
    flow = ChannelFlow(
        groups=groups,
        sources=np.sort(np.concatenate([numbers[_range(given)] for given in inputs])),
        sinks=np.unique(numbers[_nodes_of(tracker, outputs)]),
        steps=tuple(step for _, step in sorted(steps, key=lambda pair: pair[0])),
        notes=(*program.notes, *found.notes),
    )
    return flow, {names[call.nodes.first]: call.scale for call in found.calls if _folds(call)}  # type: ignore[misc]


def _folds(call: Call) -> bool:
    """The BatchNorm behind a call counts its channels where the call does."""
    rank = len(call.layer.shapes[0])
    return call.scale is not None and call.layer.axis % rank == 1 and len(call.scale) == call.nodes.count


def _call_names(calls: Sequence[Call]) -> dict[int, str]:
    """A name for each call by its first node; further calls of one weight are `name#2`, ... from the input on."""
    seen = Counter[str]()
    names = {}
    for call in sorted(calls, key=lambda call: (call.nodes.level, call.nodes.first)):
        name = layer_name(call.layer.weight)
        seen[name] += 1
        names[call.nodes.first] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return names


def _numbered(found: Findings, names: dict[int, str]) -> tuple[Labels, tuple[NodeGroup, ...]]:
    """The final number of every provisional node, and the groups; nodes that were merged away have no number."""
    named = [(given.level, names.get(given.first, given.name), given) for given in found.ranges]
    numbers = np.full(found.nodes, -1, dtype=np.int64)
    groups: list[NodeGroup] = []
    taken = Counter[str]()
    start = 0
    inputs = [item for item in named if item[0] == 0]
    for _, name, given in (*inputs, *sorted((item for item in named if item[0]), key=lambda item: item[:2])):
        own = [node for node in range(given.first, given.first + given.count) if node not in found.same]
        numbers[own] = np.arange(start, start + len(own))
        taken[name] += 1
        distinct = name if taken[name] == 1 else f"{name}#{taken[name]}"
        if own:
            groups.append(NodeGroup(name=distinct, start=start, stop=start + len(own)))
        start += len(own)
    for node in found.same:
        numbers[node] = numbers[_final(node, found.same)]
    return numbers, tuple(groups)


def _final(node: int, same: dict[int, int]) -> int:
    while node in same:
        node = same[node]
    return node


def _range(given: NodeRange) -> slice:
    return slice(given.first, given.first + given.count)


def _nodes_of(tracker: ChannelTracker, arrays: Iterable[Labels]) -> list[int]:
    labels = {label for array in arrays for label in np.unique(bases(array)[0]).tolist()}
    return sorted({node for label in labels for node in tracker.slots.sets[label]})


Sortable = tuple[tuple[int, int, str], LayerCall | WeightlessEdges]


def _calls(tracker: ChannelTracker, names: dict[int, str], numbers: Labels) -> Iterator[Sortable]:
    for call in tracker.findings.calls:
        name = names[call.nodes.first]
        features, labels = call.read.T
        sets = [tracker.slots.sets[label] for label in labels.tolist()]
        rows = np.repeat(features, [len(nodes) for nodes in sets])
        read = numbers[np.array([node for nodes in sets for node in nodes], dtype=np.int64)]
        pairs = np.unique(np.stack([rows, read], axis=1), axis=0)
        count = int(features.max(initial=-1)) + 1
        starts = np.searchsorted(pairs[:, 0], np.arange(count + 1))
        yield (
            (call.nodes.level, 0, name),
            LayerCall(
                name=name,
                weight=call.layer.weight,
                weight_shape=call.layer.weight_shape,
                layout=call.layer.layout,
                groups=call.layer.groups,
                feature_starts=starts,
                feature_nodes=pairs[:, 1],
                targets=numbers[_range(call.nodes)],
            ),
        )


def _weightless(edges: Iterable[PlainEdges], numbers: Labels) -> Iterator[Sortable]:
    taken = Counter[str]()
    for given in sorted(edges, key=lambda given: (given.level, given.name)):
        pairs = np.unique(numbers[np.array(given.pairs, dtype=np.int64).reshape(-1, 2)], axis=0)
        taken[given.name] += 1
        name = given.name if taken[given.name] == 1 else f"{given.name}#{taken[given.name]}"
        made = WeightlessEdges(
            name=name, kind="hub" if given.hub else "identity", sources=pairs[:, 0], targets=pairs[:, 1]
        )
        yield (given.level, 1, name), made
