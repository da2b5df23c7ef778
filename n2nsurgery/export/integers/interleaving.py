"""Tensors between integer convolutions that are interleaved: four neighbouring channels of a pixel lie side by side.

The kernels of the sparse runtime multiply fours of channels. Where only such layers read a tensor that such a layer
gives, the attribute `packed` of all of them says that its bytes are in that order, and none has to be rearranged.
Stock ONNX Runtime computes the functions' bodies, which do not depend on the attribute.
"""

from __future__ import annotations

import onnx_ir as ir

from n2nsurgery.export.integers.layers import BLOCK
from n2nsurgery.export.sparse.operators import DOMAIN

PACKED = "packed"
"""Name of the attribute: which of X, the residual and Y are interleaved, three of 0 or 1."""

PLAIN = (0, 0, 0)
_X, _RESIDUAL, _Y = range(3)
_PLACES = {0: _X, 9: _RESIDUAL}
"""The element of the attribute that is for an input, by the input's index."""


def interleave_between(graph: ir.Graph) -> None:
    """Set the attribute `packed` of the integer convolutions in `graph`, all of which carry it."""
    interleaved = {node: list(PLAIN) for node in graph if _is_integer_convolution(node)}
    for node, places in interleaved.items():
        result = node.outputs[0]
        uses = result.uses()
        if result.is_graph_output() or not uses or _outputs(node) % BLOCK:
            continue
        if all(_takes(use.node, use.idx) for use in uses):
            places[_Y] = 1
            for use in uses:
                interleaved[use.node][_PLACES[use.idx]] = 1
    for node, places in interleaved.items():
        node.attributes[PACKED] = ir.AttrInt64s(PACKED, places)


def _takes(node: ir.Node, index: int) -> bool:
    """Whether the node can read an interleaved tensor as this input."""
    if not _is_integer_convolution(node) or index not in _PLACES:
        return False
    channels = node.attributes.get_ints("weight_shape")[1] if _PLACES[index] == _X else _outputs(node)
    return channels % BLOCK == 0


def _outputs(node: ir.Node) -> int:
    """Outputs of a group."""
    return node.attributes.get_ints("weight_shape")[0] // node.attributes.get_int("group", 1)


def _is_integer_convolution(node: ir.Node) -> bool:
    return node.domain == DOMAIN and node.op_type.startswith("SparseQLinearConv")
