"""Max-pooling beside sparse nodes, kept in their layout.

ONNX Runtime pools in a blocked layout of its own. Between its convolutions this costs nothing, but what a sparse node
gives or takes lies plainly (N, C, H, W) and has to be reordered. PlainMaxPool pools it as it lies. It takes a MaxPool's
place where the input is not in blocks already and a sparse node is on one side; elsewhere the reordering would only
move.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.convenience import replace_nodes_and_values

from n2nsurgery.export.sparse.operators import DOMAIN, PLAIN_MAX_POOL

BLOCK = 16
"""Channels of a block: ONNX Runtime reorders multiples of it."""

_SPATIAL_AXES = 2
_BLOCKING = frozenset({"Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"})
_FOLLOWING = frozenset({
    "Add", "Sum", "Mul", "Concat", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Clip", "BatchNormalization",
    "Resize", "Upsample",
})  # fmt: skip
"""Operators that ONNX Runtime computes in blocks where their inputs lie in blocks."""


def keep_pools_plain(graph: ir.Graph) -> bool:
    """Puts PlainMaxPool in the place of each MaxPool for which it pays; True if there was one.

    To be called when the sparse nodes are in their places.
    """
    chosen = False
    for node in tuple(graph):
        if _supported(node) and _pays(node):
            _replace(graph, node)
            chosen = True
    return chosen


def _supported(node: ir.Node) -> bool:
    """The kernel computes it: over height and width, nothing but the maxima, no window in the padding alone."""
    if node.domain or node.op_type != "MaxPool" or any(output.uses() for output in node.outputs[1:]):
        return False
    given = node.attributes
    kernel = given.get_ints("kernel_shape", [])
    plain = (
        given.get_string("auto_pad", "NOTSET") == "NOTSET"
        and not given.get_int("ceil_mode", 0)
        and not given.get_int("storage_order", 0)
        and all(step == 1 for step in given.get_ints("dilations", []))
    )
    within = all(pad < size for pad, size in zip(_pads(node), (*kernel, *kernel), strict=False))
    return plain and len(kernel) == _SPATIAL_AXES and within and not any(o.is_graph_output() for o in node.outputs[1:])


def _pays(node: ir.Node) -> bool:
    source = node.inputs[0]
    assert source is not None
    if source.shape is None or not isinstance(source.shape[1], int) or source.shape[1] % BLOCK:
        return False
    origins = _origins(source)
    if any(not origin.domain and origin.op_type in _BLOCKING for origin in origins):
        return False
    uses = node.outputs[0].uses()
    return any(map(_sparse, origins)) or (bool(uses) and all(_sparse(use.node) for use in uses))


def _sparse(node: ir.Node) -> bool:
    return node.domain == DOMAIN


def _origins(value: ir.Value) -> set[ir.Node]:
    """The nodes that decide in which layout the value lies."""
    found: set[ir.Node] = set()
    passed: set[ir.Node] = set()
    pending = [value]
    while pending:
        node = pending.pop().producer()
        if node is None or node in passed:
            continue
        if node.domain or node.op_type not in _FOLLOWING:
            found.add(node)
            continue
        passed.add(node)
        pending.extend(operand for operand in node.inputs if operand is not None)
    return found


def _pads(node: ir.Node) -> list[int]:
    return list(node.attributes.get_ints("pads", [0] * 2 * _SPATIAL_AXES))


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    attributes = {
        "kernel_shape": list(node.attributes.get_ints("kernel_shape", [])),
        "strides": list(node.attributes.get_ints("strides", [1] * _SPATIAL_AXES)),
        "pads": _pads(node),
    }
    plain = ir.node(PLAIN_MAX_POOL, [node.inputs[0]], attributes, domain=DOMAIN, name=node.name)
    replace_nodes_and_values(graph, node, [node], [plain], node.outputs[:1], plain.outputs)
