"""Activations that are written out: several pointwise operations on one value that end in a single one.

`x * sigmoid(1.702 * x)` and `0.5 * x * (1 + tanh(...))` are nonlinearities that no node names. Such a function is known
by its values: it is computed on a grid and compared with the functions of torch.nn.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from n2nsurgery.graph.layers.layer_graph import Nonlinearity
from n2nsurgery.graph.layers.roles import Role, is_tensor
from n2nsurgery.graph.layers.view import GraphView

_POINTWISE = frozenset([
    "add", "sub", "rsub", "mul", "multiply", "div", "truediv", "neg", "pow", "square", "sqrt", "abs", "exp", "log",
    "erf", "clamp", "tanh", "sigmoid", "relu", "softplus",
])  # fmt: skip
_NOT_FUNCTIONS = frozenset(["prelu", "rrelu", "glu"])  # with parameters, by chance, of two halves
_UNNAMED = Nonlinearity(name="Composite")
_MOST_NODES = 24
_SAME = 1e-7  # in float64; the tanh form of GELU differs from the exact one by 5e-4
_KNOWN: Mapping[str, tuple[Nonlinearity, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {
        "silu": (Nonlinearity(name="SiLU"), F.silu),
        "gelu": (Nonlinearity(name="GELU", arguments=(("approximate", "none"),)), F.gelu),
        "tanh": (
            Nonlinearity(name="GELU", arguments=(("approximate", "tanh"),)),
            lambda x: F.gelu(x, approximate="tanh"),
        ),
        "quick": (Nonlinearity(name="QuickGELU"), lambda x: x * torch.sigmoid(1.702 * x)),
        "mish": (Nonlinearity(name="Mish"), F.mish),
        "hard": (Nonlinearity(name="Hardswish"), F.hardswish),
    }
)


def composite(view: GraphView, start: fx.Node) -> tuple[fx.Node, Nonlinearity] | None:
    """The node at which all that is computed from `start` meets again, and the function up to it.

    None where `start` has one user alone, where something else than pointwise operations with constants comes first, or
    where the function is a straight line. A function that torch.nn does not have is called `Composite`.
    """
    if len(view.users(start)) < 2:  # noqa: PLR2004 - one user is a node that stands for itself
        return None
    inside = _pointwise_from(view, start)
    found: tuple[fx.Node, Nonlinearity] | None = None
    for end in inside[1:]:
        before = [node for node in inside if view.position[node] < view.position[end]]
        if any(view.position[user] > view.position[end] for node in before for user in view.users(node)):
            continue
        function = _named(view, before, end)
        if function is not None and function != _UNNAMED:
            return end, function
        if function is not None and found is None:
            found = end, function  # a factor may follow that makes a known function of it
    return found


def _pointwise_from(view: GraphView, start: fx.Node) -> list[fx.Node]:
    """`start` and the nodes computed from it alone, in order, as far as they are pointwise."""
    found = {start: None}
    waiting = [view.position[user] for user in view.users(start)]
    heapq.heapify(waiting)
    while waiting and len(found) < _MOST_NODES:
        node = view.nodes[heapq.heappop(waiting)]
        alone = all(source in found for source in node.all_input_nodes)
        if node in found or not alone or not _is_pointwise(view, node) or not _same_shape(node, start):
            continue
        found[node] = None
        for user in view.users(node):
            heapq.heappush(waiting, view.position[user])
    return list(found)


def _same_shape(node: fx.Node, start: fx.Node) -> bool:
    return is_tensor(node) and bool(node.meta["shapes"] == start.meta["shapes"])


def _is_pointwise(view: GraphView, node: fx.Node) -> bool:
    activates = view.role[node] is Role.ACTIVATION
    if node.op == "call_module":
        return activates and next(view.root.get_submodule(str(node.target)).parameters(), None) is None
    name = view.name(node)
    named = name in _POINTWISE or (activates and name not in _NOT_FUNCTIONS)
    return named and node.op in {"call_function", "call_method"}


def _named(view: GraphView, before: list[fx.Node], end: fx.Node) -> Nonlinearity | None:
    """The function from the first of `before` to `end`; None for a straight line."""
    x = torch.linspace(-6, 6, 49, dtype=torch.float64)
    try:
        y = _computed(view, x, before, end)
    except (TypeError, ValueError, RuntimeError):  # an operation that takes no float64, say
        return None
    if torch.allclose(y, y[0] + (y[-1] - y[0]) * (x - x[0]) / (x[-1] - x[0]), rtol=0, atol=_SAME):
        return None
    named = (known for known, function in _KNOWN.values() if torch.allclose(y, function(x), rtol=0, atol=_SAME))
    return next(named, _UNNAMED)


def _computed(view: GraphView, x: Tensor, before: list[fx.Node], end: fx.Node) -> Tensor:
    values: dict[fx.Node, Any] = {before[0]: x}
    for node in (*before[1:], end):
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda each: values[each].clone())
        if node.op == "call_module":
            values[node] = view.root.get_submodule(str(node.target))(*args, **kwargs)
        elif node.op == "call_method":
            values[node] = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        else:
            assert callable(node.target)
            values[node] = node.target(*args, **kwargs)
    result: Tensor = values[end]
    return result
