"""Activations in a graph: the few elementwise operators behind a value that together compute one.

Exporters write one activation in many ways (the order of GELU's products alone gives five). Therefore an activation is
not recognized by its operators. The operators that follow are taken in one by one until they have a single result.
That function of one value is evaluated in float64 and compared with the known ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir
from scipy import special

from n2nsurgery.export.fusion.activations import FORMULAS, Activation, Points

_MOST_NODES = 12
"""GELU's approximation with its power as two products has 9."""

_FAR = np.logspace(1, 4, 13)
_POINTS: Points = np.concatenate([-_FAR[::-1], np.linspace(-8, 8, 257), _FAR])
"""Where an activation is compared; those far away find one that is cut off there, as Silu with Min(x, 10)."""

_AGREEMENT = 1e-6
"""Largest accepted difference, of the larger of 1 and |x|: constants are float32, whose roundings are 6e-8."""

_CLAMPS = frozenset({"Relu", "Clip", "Max", "Min"})

_FLOAT_LOWEST, _FLOAT_LARGEST = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)


def activation_after(value: ir.Value) -> tuple[Activation, tuple[ir.Node, ...]] | None:
    """The activation that alone reads `value`, and its nodes in their order; None where there is none that is known."""
    clamp = None
    for nodes in _closed_regions(value):
        if bounds := _clamped(value, nodes):
            clamp = (_clamp(*bounds), nodes)  # another one may follow: exporters write ReLU6 as Relu, then Min
        elif clamp is not None:
            break
        elif activation := _leaky(nodes) or _compared(value, nodes):
            return activation, nodes
    return clamp


def _closed_regions(value: ir.Value) -> Iterator[tuple[ir.Node, ...]]:
    """Growing groups of nodes that read nothing but `value` and constants and of which one result alone is read."""
    nodes: list[ir.Node] = []
    known = [value]
    while len(nodes) < _MOST_NODES and (node := _next(known, nodes)) is not None:
        nodes.append(node)
        known.append(node.outputs[0])
        if [inner for inner in known if _read_beyond(inner, nodes)] == [node.outputs[0]]:
            yield tuple(nodes)


def _read_beyond(value: ir.Value, nodes: list[ir.Node]) -> bool:
    """Something besides `nodes` reads `value`, or nothing does."""
    uses = value.uses()
    return value.is_graph_output() or not uses or any(use.node not in nodes for use in uses)


def _next(known: list[ir.Value], nodes: list[ir.Node]) -> ir.Node | None:
    """A node that is not in `nodes` and computes elementwise from what is known."""
    for inner in known:
        for use in inner.uses():
            node = use.node
            if node in nodes or node.domain or node.op_type not in _EVALUATED or node.graph is not inner.graph:
                continue
            if all(source is None or source in known or _number(source) is not None for source in node.inputs):
                return node
    return None


def _number(value: ir.Value | None) -> float | None:
    """The constant that `value` is and that changes no shape; None where it is none."""
    tensor = value.const_value if value is not None else None
    if value is None or tensor is None or value.is_graph_input() or len(tensor.shape) > 1 or tensor.size != 1:
        return None
    return float(tensor.numpy().reshape(()))


def _leaky(nodes: tuple[ir.Node, ...]) -> Activation | None:
    if len(nodes) != 1 or nodes[0].op_type != "LeakyRelu":
        return None
    return Activation(name="LeakyRelu", settings={"slope": nodes[0].attributes.get_float("alpha", 0.01)})


def _clamped(value: ir.Value, nodes: tuple[ir.Node, ...]) -> tuple[float, float] | None:
    """The bounds between which the nodes, one behind the other, clamp `value`; None where they compute something else.

    Clamping is monotone, so it takes the ends of the real line to the bounds.
    """
    least, most = -np.inf, np.inf
    for node in nodes:
        sources = list(node.inputs)
        if node.op_type in {"Max", "Min"}:  # the order does not matter
            sources.sort(key=lambda source: source is not value)
        if node.op_type not in _CLAMPS or sources[0] is not value:
            return None
        if any(source is not None and _number(source) is None for source in sources[1:]):
            return None
        others = [_number(source) for source in sources[1:]]
        least, most = (float(_EVALUATED[node.op_type](node, end, *others)) for end in (least, most))
        value = node.outputs[0]
    return least, most


def _clamp(least: float, most: float) -> Activation:
    if (least, most) == (0, np.inf):
        return Activation(name="Relu")
    bounds = {"low": max(least, _FLOAT_LOWEST), "high": min(most, _FLOAT_LARGEST)}
    return Activation(name="Clip", settings=bounds)


def _compared(value: ir.Value, nodes: tuple[ir.Node, ...]) -> Activation | None:
    computed = _evaluated(value, nodes)
    if computed is None:
        return None
    allowed = _AGREEMENT * np.maximum(1, np.abs(_POINTS))
    names = [name for name, formula in FORMULAS.items() if np.all(np.abs(computed - formula(_POINTS)) <= allowed)]
    return Activation(name=names[0]) if names else None


def _evaluated(value: ir.Value, nodes: tuple[ir.Node, ...]) -> Points | None:
    """The last result for _POINTS as `value`; None where it is not a function of that."""
    computed: dict[ir.Value, Points] = {value: _POINTS}
    with np.errstate(all="ignore"):
        for node in nodes:
            inputs = [
                None if source is None else computed[source] if source in computed else np.float64(_number(source))
                for source in node.inputs
            ]
            computed[node.outputs[0]] = _EVALUATED[node.op_type](node, *inputs)
    result = computed[nodes[-1].outputs[0]]
    return result if np.shape(result) == _POINTS.shape else None


def _hard_sigmoid(node: ir.Node, x: Points) -> Points:
    slope, middle = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    return np.clip(slope * x + middle, 0, 1)


def _clip(_: ir.Node, x: Points, low: float | None = None, high: float | None = None) -> Points:
    return np.minimum(np.maximum(x, -np.inf if low is None else low), np.inf if high is None else high)


def _gelu(node: ir.Node, x: Points) -> Points:
    result: Points = FORMULAS["TanhGelu" if node.attributes.get_string("approximate", "none") == "tanh" else "Gelu"](x)
    return result


def _leaky_relu(node: ir.Node, x: Points) -> Points:
    return np.where(x < 0, node.attributes.get_float("alpha", 0.01) * x, x)


_EVALUATED: Mapping[str, Callable[..., Points]] = MappingProxyType({
    "Add": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "Div": lambda _, a, b: a / b,
    "Pow": lambda _, a, b: np.power(a, b),
    "Neg": lambda _, a: -a,
    "Max": lambda _, *all_of: np.maximum.reduce(np.broadcast_arrays(*all_of)),
    "Min": lambda _, *all_of: np.minimum.reduce(np.broadcast_arrays(*all_of)),
    "Erf": lambda _, a: special.erf(a),
    "Exp": lambda _, a: np.exp(a),
    "Tanh": lambda _, a: np.tanh(a),
    "Sigmoid": lambda _, a: special.expit(a),
    "Relu": lambda _, a: np.maximum(a, 0),
    "HardSwish": lambda _, a: FORMULAS["HardSwish"](a),
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky_relu,
    "Clip": _clip,
    "Gelu": _gelu,
})  # fmt: skip
"""The elementwise operators that activations are written with, in float64."""
