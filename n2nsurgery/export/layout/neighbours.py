"""What lies around a node, and in which layout it is computed.

ONNX Runtime convolves and pools in a blocked layout of its own. Between its convolutions this costs nothing, but what a
sparse node gives or takes lies plainly (N, C, H, W) and has to be reordered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import onnx_ir as ir

from n2nsurgery.export.sparse.operators import DOMAIN

BLOCK = 16
"""Channels of a block: ONNX Runtime reorders multiples of it."""

_BLOCKING = frozenset({"Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"})
_FOLLOWING = frozenset({
    "Add", "Sum", "Mul", "Concat", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Clip", "BatchNormalization",
    "Resize", "Upsample",
})  # fmt: skip
"""Operators that ONNX Runtime computes in blocks where all their inputs lie in blocks."""

_PASSING = _FOLLOWING | {"Transpose", "LayerNormalization", "HardSwish", "Gelu", "Erf", "Div", "Sub"}
"""Operators between a convolution and the linear layers that take its channels last."""


def is_sparse(node: ir.Node) -> bool:
    """The node is an operator of ours."""
    return node.domain == DOMAIN


def lies_in_blocks(value: ir.Value) -> bool:
    """ONNX Runtime computes the value in its blocked layout, or may."""
    found = origins(value)
    return bool(found) and all(not origin.domain and origin.op_type in _BLOCKING for origin in found)


def origins(value: ir.Value) -> set[ir.Node]:
    """The nodes that decide in which layout the value lies."""
    return _reached(value.producer(), _before, _FOLLOWING)


def comes_from_sparse(value: ir.Value) -> bool:
    """A sparse node gives the value, or what it is computed of element by element or with its axes turned."""
    return any(map(is_sparse, _reached(value.producer(), _before, _PASSING)))


def goes_to_sparse(value: ir.Value) -> bool:
    """Sparse nodes alone take the value, or what is computed of it in this way."""
    taken = [_reached(use.node, _after, _PASSING) for use in value.uses()]
    return bool(taken) and all(any(map(is_sparse, nodes)) for nodes in taken)


def _before(node: ir.Node) -> Iterator[ir.Node | None]:
    return (operand.producer() for operand in node.inputs if operand is not None)


def _after(node: ir.Node) -> Iterator[ir.Node | None]:
    return (use.node for output in node.outputs for use in output.uses())


def _reached(
    start: ir.Node | None, step: Callable[[ir.Node], Iterable[ir.Node | None]], passing: frozenset[str]
) -> set[ir.Node]:
    """The first nodes on every way from `start`, itself included, that are none of `passing`."""
    found: set[ir.Node] = set()
    passed: set[ir.Node] = set()
    pending = [start]
    while pending:
        node = pending.pop()
        if node is None or node in passed:
            continue
        if node.domain or node.op_type not in passing:
            found.add(node)
            continue
        passed.add(node)
        pending.extend(step(node))
    return found
