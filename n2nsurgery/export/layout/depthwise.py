"""Depthwise convolutions beside sparse nodes, kept in their layout.

PlainDepthwiseConv takes the place of a depthwise Conv, and of the activation behind it, where the input is not in
blocks already and a sparse node is on one side, possibly behind a normalization with the channels last. Its weights are
an ordinary tensor; those that are zero are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_nodes_and_values

from n2nsurgery.export.fusion.activations import SETTINGS, ActivationName
from n2nsurgery.export.fusion.regions import activation_after
from n2nsurgery.export.layout.neighbours import BLOCK, comes_from_sparse, goes_to_sparse, lies_in_blocks
from n2nsurgery.export.sparse.functions import ending, parsed
from n2nsurgery.export.sparse.operators import DOMAIN, PLAIN_DEPTHWISE
from n2nsurgery.export.sparse.portable import zero_bias

_SPATIAL_AXES = 2
_MOST_TAPS = 4096
_MOST_SPAN = 100  # columns that a kernel reaches over; the kernel addresses a little more with the narrowest vectors
_LEAST_WORK = 600
"""Multiply-adds of a channel: with fewer (3x3 over 7x7) the standard operator was faster, reordering included."""
_LEAST_DENSE_WORK = 2000
"""The same where most weights are not zero: over 14x14, 3x3 was 3 % slower than the standard operator."""

_GEOMETRY = ("kernel_shape", "strides", "pads", "dilations", "group")


def plain_depthwise(activation: ActivationName | None, opset: int) -> ir.Function:
    """The function of PlainDepthwiseConv with `activation`."""
    attributes = ", ".join((*_GEOMETRY, *SETTINGS.get(activation or "", ())))
    kinds = ("ints", "ints", "ints", "ints", "int")
    given = ", ".join(f"{name}: {kind} = @{name}" for name, kind in zip(_GEOMETRY, kinds, strict=True))
    body = f"result = Conv <{given}> (X, W, bias)"
    signature = f"{PLAIN_DEPTHWISE}{activation or ''} <{attributes}> (X, W, bias) => (Y)"
    return parsed(signature, ending(body, "result", activation), opset)


def keep_depthwise_plain(graph: ir.Graph) -> Sequence[ActivationName | None]:
    """Puts PlainDepthwiseConv in place of each depthwise Conv for which it pays; the activations it was put with.

    To be called when the sparse nodes are in their places.
    """
    chosen: dict[ActivationName | None, None] = {}
    for node in tuple(graph):
        if _supported(node) and _pays(node):
            chosen[_replace(graph, node)] = None
    return tuple(chosen)


def _supported(node: ir.Node) -> bool:
    """The kernel computes it: over height and width, one channel to each result, in float32."""
    if node.domain or node.op_type != "Conv" or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return False
    weight = node.inputs[1]
    if weight is None or weight.dtype != ir.DataType.FLOAT or weight.shape is None or not weight.shape.is_static():
        return False
    outputs, inputs, *kernel = weight.shape.numpy()
    if len(kernel) != _SPATIAL_AXES or inputs != 1 or outputs != node.attributes.get_int("group", 1):
        return False
    dilations = node.attributes.get_ints("dilations", [1] * _SPATIAL_AXES)
    return kernel[0] * kernel[1] <= _MOST_TAPS and (kernel[1] - 1) * dilations[1] <= _MOST_SPAN


def _pays(node: ir.Node) -> bool:
    source, weight = node.inputs[0], node.inputs[1]
    assert source is not None
    assert weight is not None
    assert weight.shape is not None
    sparse = _mostly_zero(weight)
    if node.attributes.get_ints("strides", [1])[-1] > 1 and not sparse:
        return False  # measured: taking rows apart for the stride costs as much as the blocked layout
    if _work(node, weight) < (_LEAST_WORK if sparse else _LEAST_DENSE_WORK):
        return False
    blocked = int(weight.shape.numpy()[0]) % BLOCK == 0  # others ONNX Runtime convolves in the plain layout, too
    if blocked and lies_in_blocks(source):
        return False
    return comes_from_sparse(source) or goes_to_sparse(node.outputs[0])


def _mostly_zero(weight: ir.Value) -> bool:
    """At most half of the weight is not zero, as of every weight that is stored as a code."""
    tensor = weight.const_value
    return tensor is None or 2 * int(np.count_nonzero(tensor.numpy())) <= tensor.size


def _work(node: ir.Node, weight: ir.Value) -> float:
    """Multiply-adds of one channel; without end where the size of its results is not known."""
    result = node.outputs[0].shape
    sizes = [] if result is None else [size for size in result[2:] if isinstance(size, int)]
    assert weight.shape is not None
    return float(prod(sizes) * prod(weight.shape.numpy()[2:])) if len(sizes) == _SPATIAL_AXES else inf


def _replace(graph: ir.Graph, node: ir.Node) -> ActivationName | None:
    weight = node.inputs[1]
    assert weight is not None
    assert weight.shape is not None
    channels, _, *kernel = weight.shape.numpy()
    activation, following = activation_after(node.outputs[0]) or (None, ())
    nodes = (node, *following)
    given = node.attributes
    attributes: dict[str, int | float | list[int]] = {
        "kernel_shape": list(kernel),
        "strides": list(given.get_ints("strides", [1] * _SPATIAL_AXES)),
        "pads": list(given.get_ints("pads", [0] * 2 * _SPATIAL_AXES)),
        "dilations": list(given.get_ints("dilations", [1] * _SPATIAL_AXES)),
        "group": channels,
        **(activation.settings if activation else {}),
    }
    bias = node.inputs[2] if len(node.inputs) > 2 else None  # noqa: PLR2004 - X, W, B
    name = activation.name if activation else None
    plain = ir.node(
        PLAIN_DEPTHWISE + (name or ""), [node.inputs[0], weight, bias or zero_bias(graph, channels)], attributes,
        domain=DOMAIN, name=node.name,
    )  # fmt: skip
    replace_nodes_and_values(graph, nodes[-1], nodes[::-1], [plain], nodes[-1].outputs, plain.outputs)
    return name
