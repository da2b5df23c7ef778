"""Finds, for every weighted layer, its pre-activation z, its activation a, and the roles it may take.

z: from the layer forward while the value has one data user that is a norm, or a scale or bias made of parameters
alone; of an output that is divided, the part that a nonlinearity reads; of one that is laid out anew before that, the
new layout. a: from z forward through norms, dropout, scales and same-shape sums to the first nonlinearity; anything
else that comes first (another weighted layer, a concatenation, a pool, the output) means that the layer has no
activation, as in a linear bottleneck.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass

from torch import fx

from n2nsurgery.graph.layers.composites import composite
from n2nsurgery.graph.layers.layer_graph import ChannelLayout, Nonlinearity
from n2nsurgery.graph.layers.parts import activated_part
from n2nsurgery.graph.layers.relayout import channels_moved_last
from n2nsurgery.graph.layers.roles import Role, is_tensor, nonlinearity_of
from n2nsurgery.graph.layers.view import GraphView
from n2nsurgery.graph.tracing.leaves import WEIGHTED_MODULES

_COMBINING = frozenset({Role.ADD, Role.MUL, Role.CONCAT})
_SIGMOIDS = frozenset({"sigmoid", "Sigmoid", "hardsigmoid", "Hardsigmoid", "hard_sigmoid", "HardSigmoid"})


@dataclass(kw_only=True, eq=False)
class FoundLayer:
    """One call of a weighted layer, in terms of graph nodes; an intermediate of building the LayerGraph."""

    node: fx.Node
    preactivation: fx.Node
    layout: ChannelLayout
    activation: fx.Node | None = None
    function: Nonlinearity | None = None
    join: fx.Node | None = None
    not_source: str | None = None
    not_target: str | None = None
    counted: bool = True
    depth: int = 0


def find_layers(view: GraphView) -> dict[fx.Node, FoundLayer]:
    """Every call of a weighted layer, in execution order."""
    found = {node: _found(view, node) for node in view.weighted}
    calls = Counter(_weight_name(node) for node in found)
    for layer in found.values():
        layer.activation, layer.function, layer.join = _activation(view, layer.preactivation)
        if layer.activation is None:
            layer.not_source = "no activation follows it"
        if (sharing := calls[_weight_name(layer.node)]) > 1:
            layer.not_target = f"its weight is shared by {sharing} calls"
        if not view.contains(view.live, layer.node):
            layer.not_source = layer.not_target = "the output does not depend on it"
            layer.counted = False
        elif _feeds_attention(view, layer.preactivation):
            layer.not_source = layer.not_target = "attention projection"
    _mark_gates(view, found)
    _mark_heads(view, found)
    for node, length in longest_paths(view, found, [n for n in view.nodes if n.op == "placeholder"]).items():
        if node in found:
            found[node].depth = length
    return found


def _found(view: GraphView, node: fx.Node) -> FoundLayer:
    """The layer with its pre-activation, and where that has its channels."""
    layout = channel_layout(view, node)
    moved = channels_moved_last(view, node) if layout == "channels_first" else None
    if moved is not None:
        layout = "channels_last"
    return FoundLayer(
        node=node, preactivation=_preactivation(view, node if moved is None else moved, layout), layout=layout
    )


def channel_layout(view: GraphView, layer: fx.Node) -> ChannelLayout:
    """Where a layer's output has its channels."""
    return "channels_last" if view.operator(layer) == "linear" else "channels_first"


def longest_paths(view: GraphView, found: dict[fx.Node, FoundLayer], starts: Iterable[fx.Node]) -> dict[fx.Node, int]:
    """Counted layers on the longest path from any of `starts` to each node that depends on one, that node included."""
    length = dict.fromkeys(starts, 0)
    for node in view.nodes:
        before = [length[source] for source in node.all_input_nodes if source in length]
        if before and node not in length:
            length[node] = max(before) + (node in found and found[node].counted)
    return length


def _weight_name(node: fx.Node) -> str:
    """The parameter that a call multiplies with: the same for a module and a function that borrows the weight."""
    if node.op == "call_module":
        return f"{node.target}.weight"
    weight = node.args[1] if len(node.args) > 1 else node.kwargs["weight"]
    assert isinstance(weight, fx.Node)
    return str(weight.target)


def _same_shape(first: fx.Node, second: fx.Node) -> bool:
    return bool(is_tensor(first) and first.meta["shapes"] == second.meta["shapes"])


def _preactivation(view: GraphView, output: fx.Node, layout: ChannelLayout) -> fx.Node:
    current = output
    while (following := _affine(view, current)) is not None:
        current = following
    part = activated_part(view, current, -1 if layout == "channels_last" else 1)
    return current if part is None else part


def _affine(view: GraphView, value: fx.Node) -> fx.Node | None:
    """The norm, scale or bias that alone reads `value`."""
    users = view.users(value)
    if len(users) != 1 or not _same_shape(users[0], value):
        return None
    scales = view.role[users[0]] is Role.PASS and any(a.op == "get_attr" for a in users[0].all_input_nodes)
    return users[0] if scales or view.role[users[0]] is Role.NORM else None


def _activation(view: GraphView, preactivation: fx.Node) -> tuple[fx.Node | None, Nonlinearity | None, fx.Node | None]:
    """The activation node, its function, and the first same-shape sum on the way (a residual join); any may be None."""
    current, join = preactivation, None
    while True:
        written_out = composite(view, current)
        if written_out is not None:
            return *written_out, join
        following = _unique_user(view, current)
        if following is None:
            return None, None, join
        role = view.role[following]
        if role is Role.ACTIVATION or (role is Role.MUL and _is_swish(view, following)):
            if not _same_shape(following, preactivation):
                return None, None, join
            return following, nonlinearity_of(following, view.root), join
        if role not in {Role.NORM, Role.PASS, Role.ADD} or not _same_shape(following, preactivation):
            return None, None, join
        if role is Role.ADD and join is None:
            join = following
        current = following


def _unique_user(view: GraphView, node: fx.Node) -> fx.Node | None:
    """The one node to follow: the only user, or the only one of several that leads to a nonlinearity."""
    users = view.users(node)
    swish = [user for user in users if view.role[user] is Role.MUL and _is_swish(view, user)]
    if swish:
        return swish[0]
    if len(users) == 1:
        return users[0]
    leading = [
        user
        for user in users
        if view.role[user] is Role.ACTIVATION
        or (view.role[user] is Role.NORM and any(view.role[u] is Role.ACTIVATION for u in view.users(user)))
    ]
    return leading[0] if len(leading) == 1 else None


def _is_swish(view: GraphView, product: fx.Node) -> bool:
    """Whether `product` is x * sigmoid(x)."""
    operands = product.all_input_nodes
    return any(
        view.name(gate) in {"sigmoid", "Sigmoid"} and gate.all_input_nodes == [other]
        for gate in operands
        for other in operands
        if gate is not other
    )


def _feeds_attention(view: GraphView, preactivation: fx.Node) -> bool:
    """Whether the value reaches a matrix product or softmax of an attention through layout and scaling only.

    Sums, products and concatenations are followed where nothing else in them comes out of a weighted layer: rotary
    positions are such.
    """
    pending, seen = [preactivation], {preactivation}
    while pending:
        for user in view.users(pending.pop()):
            if user in seen or (view.role[user] in _COMBINING and not _combines_only(view, user, seen)):
                continue
            seen.add(user)
            if view.role[user] is Role.MATMUL:
                if not _projects(view, user) and any(after.op != "output" for after in user.users):
                    return True
            elif view.role[user] in {Role.LAYOUT, Role.PASS, Role.NORM} | _COMBINING:
                pending.append(user)
    return False


def _combines_only(view: GraphView, node: fx.Node, seen: Container[fx.Node]) -> bool:
    """Whether all inputs of `node` are among `seen`, or depend on no weighted layer."""
    return all(source in seen or not view.ancestors[source] & view.weighted_bits for source in node.all_input_nodes)


def _projects(view: GraphView, attention: fx.Node) -> bool:
    """Whether an attention function is given the weights of its projections: what reaches it is none of them."""
    read = [str(source.target) for source in attention.all_input_nodes if source.op == "get_attr"]
    return any(isinstance(view.root.get_submodule(name.rpartition(".")[0]), WEIGHTED_MODULES) for name in read)


def _mark_gates(view: GraphView, found: dict[fx.Node, FoundLayer]) -> None:
    """Squeeze-and-excitation and its kin: layers that only compute one operand of a gating product."""
    for product in view.nodes:
        for gate, gated in itertools.permutations(_factors(view, product), 2):
            if not _is_gate(view, gate, gated):
                continue
            inside = (view.ancestors[gate] | view.bits([gate])) & ~view.ancestors[gated] & ~view.bits([gated])
            for layer in found.values():
                if view.contains(inside, layer.node) and layer.counted:
                    layer.not_source = layer.not_target = "gate (it scales another branch)"
                    layer.counted = False


def _factors(view: GraphView, product: fx.Node) -> list[fx.Node]:
    """The tensors that `product` multiplies, where each depends on an input; none for every other node."""
    if view.role[product] is not Role.MUL:
        return []
    factors = [node for node in product.all_input_nodes if is_tensor(node)]
    depend = all(view.ancestors[node] & view.inputs or node.op == "placeholder" for node in factors)
    return factors if depend else []


def _is_gate(view: GraphView, gate: fx.Node, gated: fx.Node) -> bool:
    first, second = view.shape(gate), view.shape(gated)
    broadcast = len(first) > 1 and any(a < b for a, b in zip(first[::-1], second[::-1], strict=False))
    return broadcast or view.name(gate) in _SIGMOIDS


def _mark_heads(view: GraphView, found: dict[fx.Node, FoundLayer]) -> None:
    """Heads: layers with no activation after them and no weighted layer behind them."""
    feeding = 0
    for node in view.nodes:
        if view.role[node] in {Role.WEIGHTED, Role.OPAQUE}:
            feeding |= view.ancestors[node]
    for layer in found.values():
        if layer.activation is None and layer.not_target is None and not view.contains(feeding, layer.node):
            layer.not_target = HEAD


HEAD = "head (its output is the network's output)"
