"""Builds the LayerGraph of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

from torch import fx, nn

from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.graph.layers.layer_finder import FoundLayer, channel_layout, find_layers
from n2nsurgery.graph.layers.layer_graph import LayerGraph, LayerPair, Rejection, Signal, WeightedLayer
from n2nsurgery.graph.layers.pairs import find_pairs
from n2nsurgery.graph.layers.prunable import prunable_weights, uncalled_weights
from n2nsurgery.graph.layers.roles import Role, is_matrix, weight_of
from n2nsurgery.graph.layers.view import GraphView
from n2nsurgery.graph.tracing.batch import per_sample
from n2nsurgery.graph.tracing.trace import Trace


def layer_graph(trace: Trace) -> LayerGraph:
    """The LayerGraph of a traced model: everything that surgery has to know of it, without tensors.

    `layers` holds every call of a convolution or linear map in execution order, those of eval mode first; `weights`
    each prunable parameter once; `pairs` the layers between which a skip can run; `refusals` what was passed over, with
    the reason. A model without prunable weights has an empty graph: nothing is raised for that.

        graph = layer_graph(trace(model, inputs))
        sum(weight.numel for weight in graph.weights)  # what a density is a share of
    """
    module = trace.module
    canonical = {id(parameter): name for name, parameter in module.named_parameters()}
    views = [GraphView(graph, module) for graph in module.n2n_graphs[::-1]]  # eval first
    layers: list[WeightedLayer] = []
    for view, mode in zip(views, ("eval", "train"), strict=False):
        found = find_layers(view)
        names = {node: _name(node, module, canonical) for node in found}
        if mode == "eval":
            pairs, rejections = find_pairs(view, found, names)
        known = {layer.address for layer in layers}
        modes = ("train", "eval") if len(views) == 1 else (mode,)
        layers += [
            _layer(view, layer, names[node], canonical, modes)
            for node, layer in found.items()
            if node.meta["address"] not in known
        ]
    if len(views) > 1:
        layers = [_in_both(layer, views[1]) for layer in layers]
        pairs, one_mode = _present_in_both(pairs, views[1])
        rejections += one_mode
    weights, left = prunable_weights(trace, layers)
    return LayerGraph(
        layers=tuple(layers),
        weights=weights,
        pairs=pairs,
        refusals=rejections + tuple(Rejection(source=dense.name, target="", reason=dense.reason) for dense in left),
        left=left,
        unfollowed=trace.unfollowed,
        uncalled=uncalled_weights(trace, weights),
        structure=fingerprint([_structure(view) for view in views]),
    )


def _name(node: fx.Node, root: nn.Module, canonical: Mapping[int, str]) -> str:
    return str(node.target) if node.op == "call_module" else _weight(node, root, canonical).removesuffix(".weight")


def _weight(node: fx.Node, root: nn.Module, canonical: Mapping[int, str]) -> str:
    return canonical[id(weight_of(node, root))]


def _layer(
    view: GraphView, found: FoundLayer, name: str, canonical: Mapping[int, str], modes: tuple[str, ...]
) -> WeightedLayer:
    node = found.node
    operator, weight = view.operator(node), weight_of(node, view.root)
    assert operator is not None
    assert weight is not None
    transposed = operator.startswith("conv_transpose")
    matrix = is_matrix(node, view.root)
    swapped = transposed or matrix
    layout = channel_layout(view, node)
    groups = int(_argument(node, view.root, "groups", 1))
    whole = Signal(address=node.meta["address"], shape=view.shape(node)[1:], layout=layout)
    shortcut, projected = _shortcut(view, found)
    return WeightedLayer(
        name=name,
        address=node.meta["address"],
        operator=operator,
        weight=canonical[id(weight)],
        in_channels=weight.shape[0] if swapped else weight.shape[1] * groups,
        out_channels=weight.shape[1] * groups if swapped else weight.shape[0],
        groups=groups,
        kernel=tuple(weight.shape[2:]),
        stride=_sizes(_argument(node, view.root, "stride", 1), weight.dim() - 2),
        output=view.signal(node, layout) or whole,
        macs=weight.numel() * _positions(node.all_input_nodes[0] if transposed else node, weight.dim() - 2),
        depth=found.depth,
        preactivation=view.signal(found.preactivation, found.layout),
        activation=view.signal(found.activation, found.layout) if found.activation is not None else None,
        nonlinearity=found.function,
        join=found.join.meta["address"] if found.join is not None else None,
        shortcut=shortcut,
        projected=projected,
        not_source=found.not_source,
        not_target=found.not_target,
        modes=modes,  # type: ignore[arg-type]
        layout="matrix" if matrix else None,
    )


def _argument(node: fx.Node, root: nn.Module, name: str, default: Any) -> Any:  # noqa: ANN401 - a number or some
    """`stride` or `groups` of a weighted call."""
    if node.op == "call_module":
        return getattr(root.get_submodule(str(node.target)), name, default)
    transposed = "transpose" in getattr(node.target, "__name__", "")
    third = "output_padding" if transposed else "dilation"
    index = 3 + ("stride", "padding", third, "groups").index(name)  # after input, weight and bias
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def _sizes(value: int | Iterable[int], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _positions(node: fx.Node, rank: int) -> int:
    """Multiply-accumulates of one weight for one sample: positions of the output (of a transposed conv's input)."""
    at_first, at_second = (prod(shape[: -rank - 1]) * prod(shape[len(shape) - rank :]) for shape in node.meta["shapes"])
    return per_sample(at_first, at_second)


def _shortcut(view: GraphView, found: FoundLayer) -> tuple[str | None, bool]:
    """Where the shortcut that meets z begins, and whether it passes a weighted layer; (None, False) without one."""
    if found.join is None:
        return None, False
    inside = view.bits([found.node])
    others = [o for o in found.join.all_input_nodes if not view.ancestors[o] & inside and o is not found.node]
    if len(others) != 1:
        return None, False
    current, projected = others[0], False
    while view.role[current] in {Role.PASS, Role.NORM} or (view.role[current] is Role.WEIGHTED and not projected):
        projected = projected or view.role[current] is Role.WEIGHTED
        current = next(source for source in current.all_input_nodes if source.op != "get_attr")
    return str(current.meta["address"]), projected


def _in_both(layer: WeightedLayer, train: GraphView) -> WeightedLayer:
    both = "eval" in layer.modes and layer.address in train.by_address
    return replace(layer, modes=("train", "eval")) if both else layer


def _present_in_both(
    pairs: Iterable[LayerPair], train: GraphView
) -> tuple[tuple[LayerPair, ...], tuple[Rejection, ...]]:
    kept: list[LayerPair] = []
    rejected: list[Rejection] = []
    for pair in pairs:
        if {pair.source_signal.address, pair.target_signal.address} <= train.by_address.keys():
            kept.append(pair)
        else:
            rejected.append(Rejection(source=pair.source, target=pair.target, reason="exists in one mode only"))
    return tuple(kept), tuple(rejected)


def _structure(view: GraphView) -> list[list[str]]:
    """The graph as (op, address, function or class, arguments), equal for equal code on any machine."""
    address = {node: node.meta.get("address", node.op) for node in view.nodes}

    def text(value: Any) -> str:  # noqa: ANN401 - the arguments of a node
        return str(fx.map_arg(value, lambda node: address[node]))

    return [
        [node.op, address[node], _called(view, node), text(node.args), text(dict(sorted(node.kwargs.items())))]
        for node in view.nodes
    ]


def _called(view: GraphView, node: fx.Node) -> str:
    if node.op == "call_module":
        return view.name(node)
    return node.target if isinstance(node.target, str) else getattr(node.target, "__qualname__", str(node.target))
