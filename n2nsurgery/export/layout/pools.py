"""Max-pooling beside sparse nodes, kept in their layout.

PlainMaxPool takes a MaxPool's place where the input is not in blocks already and a sparse node is on one side;
elsewhere the reordering would only move.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.convenience import replace_nodes_and_values

from n2nsurgery.export.layout.neighbours import BLOCK, is_sparse, lies_in_blocks, origins
from n2nsurgery.export.sparse.functions import parsed
from n2nsurgery.export.sparse.operators import DOMAIN, PLAIN_MAX_POOL

_SPATIAL_AXES = 2


def plain_max_pool(opset: int) -> ir.Function:
    """The function of PlainMaxPool."""
    body = "Y = MaxPool <kernel_shape: ints = @kernel_shape, strides: ints = @strides, pads: ints = @pads> (X)"
    return parsed(f"{PLAIN_MAX_POOL} <kernel_shape, strides, pads> (X) => (Y)", body, opset)


def keep_pools_plain(graph: ir.Graph) -> bool:
    """Puts PlainMaxPool in place of each MaxPool for which it pays; True if there was one.

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
    if node.inputs[0] is not None and node.inputs[0].dtype not in (None, ir.DataType.FLOAT):
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
    if lies_in_blocks(source):
        return False
    uses = node.outputs[0].uses()
    return any(map(is_sparse, origins(source))) or (bool(uses) and all(is_sparse(use.node) for use in uses))


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
