"""Pairs of layers between which a skip connection may run, and the policies that choose among them.

k of a pair (l, l+k) counts weighted layers (gates excluded) on the LONGEST path from the activation a(l) up to and
including the target; k >= 2.
"""

from __future__ import annotations

import random
from collections.abc import Container, Sequence

import numpy as np
from torch import fx

from n2nsurgery.core.errors import UsageError, about
from n2nsurgery.core.names import select, unknown
from n2nsurgery.core.seeds import derive
from n2nsurgery.graph.layers.layer_finder import HEAD, FoundLayer
from n2nsurgery.graph.layers.layer_graph import (
    ChannelLayout,
    LayerGraph,
    LayerPair,
    Rejection,
    Signal,
    WeightedLayer,
)
from n2nsurgery.graph.layers.pair_selection import PLACEMENTS, POLICIES, PairSelection
from n2nsurgery.graph.layers.roles import Role
from n2nsurgery.graph.layers.view import GraphView

_SHORTEST = 2  # k = 1 is the layer that is there already


def find_pairs(
    view: GraphView, found: dict[fx.Node, FoundLayer], names: dict[fx.Node, str]
) -> tuple[tuple[LayerPair, ...], tuple[Rejection, ...]]:
    """Every pair with k >= 2 whose two ends are activations and sums of samples, and why the others are none."""
    rejections = [
        Rejection(
            source=names[node] if role == "source" else "", target="" if role == "source" else names[node], reason=r
        )
        for node, layer in found.items()
        for role, r in (("source", layer.not_source), ("target", layer.not_target))
        if r is not None and r is not HEAD
    ]
    pairs: list[LayerPair] = []
    sources = _sources(view, found, names)
    targets = [
        (node, layer, view.signal(layer.preactivation, layer.layout))
        for node, layer in found.items()
        if layer.not_target in {None, HEAD}
    ]
    lengths = _lengths(view, found, list(sources), [node for node, _, _ in targets])
    for activation, (source, layout) in sources.items():
        start = view.signal(activation, layout)
        for (node, layer, end), length in zip(targets, lengths[activation], strict=True):
            if length < _SHORTEST:
                continue
            if start is None or end is None or start.rows != end.rows:
                rejections.append(Rejection(source=source, target=names[node], reason=_other_rows(start, end)))
                continue
            if activation.meta.get("complex") and not layer.preactivation.meta.get("complex"):
                reason = "the source is complex and the target real"
                rejections.append(Rejection(source=source, target=names[node], reason=reason))
                continue
            pairs.append(
                LayerPair(
                    source=source,
                    target=names[node],
                    source_signal=start,
                    target_signal=end,
                    length=length,
                    nonlinearity=layer.function,
                    shortcut=layer.join is not None,
                )
            )
    return tuple(pairs), tuple(rejections)


def _other_rows(source: Signal | None, target: Signal | None) -> str:
    """Why the rows of two values are not those of the same samples."""
    if source is None:
        return "the source's first dimension is not the batch"
    if target is None:
        return "its first dimension is not the batch"
    return f"of rows for each sample the source has {source.rows} and the target {target.rows}"


def _lengths(
    view: GraphView, found: dict[fx.Node, FoundLayer], sources: Sequence[fx.Node], targets: Sequence[fx.Node]
) -> dict[fx.Node, list[int]]:
    """For every source the counted layers on the longest path to each target, that one included; 0 where none leads.

    All sources are followed at once, as a vector for each node, in one pass over the graph.
    """
    column = {source: index for index, source in enumerate(sources)}
    apart = np.int32(-len(view.nodes) - 1)  # so far below 0 that no path makes up for it
    reached: dict[fx.Node, np.ndarray] = {}
    for node in view.nodes:
        before = [reached[source] for source in node.all_input_nodes if source in reached]
        if before:
            longest = before[0] if len(before) == 1 else np.maximum.reduce(before)
            reached[node] = longest + 1 if node in found and found[node].counted else longest
        if node in column:
            reached[node] = reached[node].copy() if before else np.full(len(sources), apart, dtype=np.int32)
            reached[node][column[node]] = 0
    nothing = np.full(len(sources), 0, dtype=np.int32)
    table = np.stack([reached.get(target, nothing) for target in targets]) if targets else np.empty((0, len(sources)))
    return {source: np.maximum(table[:, index], 0).astype(int).tolist() for source, index in column.items()}


def _sources(
    view: GraphView, found: dict[fx.Node, FoundLayer], names: dict[fx.Node, str]
) -> dict[fx.Node, tuple[str, ChannelLayout]]:
    """Activations by node; several layers with one activation are one source, named by the deepest of them.

    The network input counts as a^0 where a linear layer reads it: the paper's MLPs have skips from their inputs
    (Fig. 3), while the three channels of an image carry no features yet.
    """
    sources: dict[fx.Node, tuple[str, ChannelLayout]] = {}
    for node in view.weighted:
        if (
            view.operator(node) == "linear"
            and (placeholder := _input_behind(view, node.all_input_nodes[0])) is not None
        ):
            sources[node.all_input_nodes[0]] = (str(placeholder.target), "channels_last")
    for node, layer in sorted(found.items(), key=lambda item: item[1].depth):
        if layer.not_source is None and layer.activation is not None and not layer.activation.meta.get("mutated"):
            sources[layer.activation] = (names[node], layer.layout)
    return sources


def _input_behind(view: GraphView, node: fx.Node) -> fx.Node | None:
    """The network input that `node` is, or is a mere re-layout of."""
    while view.role[node] in {Role.LAYOUT, Role.PASS} and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return node if node.op == "placeholder" else None


def select_pairs(
    graph: LayerGraph, selection: PairSelection, *, seed: int
) -> tuple[tuple[LayerPair, ...], tuple[Rejection, ...]]:
    """The pairs that a selection takes from a LayerGraph, in execution order of their targets, and the others.

    The others are Rejections: source, target and the rule of the selection that left them out. `seed`: of the policy
    `random`. Raises UnknownNameError for an unknown rule or where a pattern matches nothing, UsageError for a length
    below 2 or more random pairs than there are.
    """
    if selection.policy not in POLICIES:
        raise unknown("pairs", selection.policy, POLICIES)
    if selection.placement not in PLACEMENTS:
        raise unknown("skip placement", selection.placement, PLACEMENTS)
    if selection.length < _SHORTEST:
        raise UsageError(f"skip length {selection.length}: a skip spans at least {_SHORTEST} weighted layers")
    heads = {layer.name for layer in graph.layers if layer.not_target == HEAD}
    pairs = [pair for pair in graph.pairs if selection.include_classifier or pair.target not in heads]
    order = _execution_order(graph)
    pairs = sorted(_filtered(pairs, selection), key=lambda pair: (order[pair.target], order.get(pair.source, -1)))
    rule = {"overlapping": _overlapping, "blocks": _blocks, "random": _random, "all": _all}[selection.policy]
    return rule(graph, pairs, selection, seed)


_Chosen = tuple[tuple[LayerPair, ...], tuple[Rejection, ...]]


def _execution_order(graph: LayerGraph) -> dict[str, int]:
    """Positions of the layers; the network input, which is none of them, comes before all."""
    return {layer.name: index for index, layer in enumerate(graph.layers)}


def _filtered(pairs: Sequence[LayerPair], selection: PairSelection) -> list[LayerPair]:
    if not (selection.include or selection.exclude):
        return list(pairs)
    labels = [f"{pair.source}->{pair.target}" for pair in pairs]

    def matched(field: str) -> set[str]:
        chosen: set[str] = set()
        for pattern in getattr(selection, field):
            names = labels if "->" in pattern else sorted({n for p in pairs for n in (p.source, p.target)})
            with about(field):
                hits = set(select(pattern, names, kind="pair" if "->" in pattern else "layer"))
            chosen |= {label for label in labels if label in hits or not hits.isdisjoint(label.split("->"))}
        return chosen

    kept = (matched("include") if selection.include else set(labels)) - matched("exclude")
    return [pair for pair, label in zip(pairs, labels, strict=True) if label in kept]


def _overlapping(graph: LayerGraph, pairs: Sequence[LayerPair], selection: PairSelection, seed: int) -> _Chosen:  # noqa: ARG001
    chosen: list[LayerPair] = []
    rejected: list[Rejection] = []
    shortcuts = {layer.shortcut for layer in graph.layers} - {None}
    inside = selection.placement == "avoid-residual" and bool(shortcuts)
    pairs, doubled = _one_target_per_sum(graph, pairs)
    by_target: dict[str, list[LayerPair]] = {}
    for pair in pairs:
        by_target.setdefault(pair.target, []).append(pair)
    for target, candidates in by_target.items():
        if selection.placement == "avoid-residual" and any(pair.shortcut for pair in candidates):
            rejected.append(Rejection(source="", target=target, reason="its sum holds a shortcut already"))
            continue
        entering = _block_before(graph, graph.layer(target)) if selection.placement == "two-blocks" else None
        if entering is None:
            exact = [pair for pair in candidates if pair.length == selection.length]
            chosen += exact if exact or not inside else _one_layer_less(candidates, selection.length, shortcuts)
        elif picked := [pair for pair in candidates if pair.source_signal.address == entering.shortcut]:
            chosen += picked
        else:
            why = "identity shortcut, with no block before to start from"
            rejected.append(Rejection(source="", target=target, reason=why))
    return tuple(chosen), (*rejected, *doubled)


def _one_layer_less(candidates: Sequence[LayerPair], length: int, shortcuts: Container[str | None]) -> list[LayerPair]:
    """Pairs into a block too short for `length`, as those of transformers are, except where a shortcut starts.

    A target without an activation is the end of something, not the inside of a block. Behind a pooling layer a shortcut
    starts at what was pooled, which is not the activation of the layer before.
    """
    inner = [pair for pair in candidates if pair.length == length - 1 and pair.nonlinearity is not None]
    return [pair for pair in inner if pair.source_signal.address not in shortcuts]


def _block_before(graph: LayerGraph, target: WeightedLayer) -> WeightedLayer | None:
    """The last layer of the residual block before the target's: the one whose activation the target's identity adds.

    None where the target's sum holds no identity, or one that starts at no activation (linear bottlenecks and
    transformers carry a stream of sums: a skip there does not double the shortcut).
    """
    if target.shortcut is None or target.projected:
        return None
    owners = [
        layer for layer in graph.layers if layer.activation is not None and layer.activation.address == target.shortcut
    ]
    return max(owners, key=lambda layer: layer.depth, default=None)


def _one_target_per_sum(graph: LayerGraph, pairs: Sequence[LayerPair]) -> tuple[list[LayerPair], tuple[Rejection, ...]]:
    """Drop targets that meet a deeper one in the same sum: what is added to either is the same (a projection, say)."""
    targets = [graph.layer(target) for target in dict.fromkeys(pair.target for pair in pairs)]
    deepest: dict[str, WeightedLayer] = {}
    for target in targets:
        join = target.join or target.name
        if join not in deepest or target.depth > deepest[join].depth:
            deepest[join] = target
    doubled = {t.name: other for t in targets if (other := deepest[t.join or t.name].name) != t.name}
    rejections = tuple(
        Rejection(source="", target=target, reason=f"its sum is also that of {other}")
        for target, other in doubled.items()
    )
    return [pair for pair in pairs if pair.target not in doubled], rejections


def _blocks(graph: LayerGraph, pairs: Sequence[LayerPair], selection: PairSelection, seed: int) -> _Chosen:
    """Pairs that do not overlap: the next one starts at or after the target of the one before."""
    order = _execution_order(graph)
    chosen: list[LayerPair] = []
    candidates, rejected = _overlapping(graph, pairs, selection, seed)
    for pair in candidates:
        if not chosen or order.get(pair.source, -1) >= order[chosen[-1].target]:
            chosen.append(pair)
    return tuple(chosen), rejected


def _random(graph: LayerGraph, pairs: Sequence[LayerPair], selection: PairSelection, seed: int) -> _Chosen:
    count = selection.count
    if count is None:
        count = len(_overlapping(graph, pairs, selection, seed)[0])
    elif not 0 < count <= len(pairs):
        raise UsageError(f"{count} random pairs asked for; the network has {len(pairs)} candidates")
    generator = random.Random(derive(seed, "pairs"))  # noqa: S311 - a reproducible draw, no secret
    picked = sorted(generator.sample(range(len(pairs)), count))
    return tuple(pairs[index] for index in picked), ()


def _all(graph: LayerGraph, pairs: Sequence[LayerPair], selection: PairSelection, seed: int) -> _Chosen:  # noqa: ARG001
    return tuple(pairs), ()
