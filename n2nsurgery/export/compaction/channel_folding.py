"""Exact compaction: channels that nothing needs are taken out of the graph, and constants move into biases.

    y_o = b_o + sum_i W_oi * x_i  =  (b_o + sum_{i removed} c_i sum_taps W_oi) + sum_{i kept} W_oi * x_i

The output changes by rounding only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from n2nsurgery.export.compaction.channel_classes import (
    Booleans,
    ChannelConstraints,
    channel_constraints,
    removed_channels,
)
from n2nsurgery.export.compaction.channel_rules import Integers, Product


@dataclass(frozen=True, kw_only=True, eq=False)
class Compaction:
    """What was removed.

    `kept`: for each weight that shrank, the indices that are left in each of its dimensions. `removed`: by the same
    name, how many output channels went. `refused`: by node, why the channels around it stay.
    """

    kept: dict[str, tuple[Integers, ...]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """`kept` as packed bits in hex for the first two dimensions, the lowest bit first."""
        return {
            "kept": {name: [_hex(index) for index in indices[:2]] for name, indices in self.kept.items()},
            "removed": self.removed,
            "refused": self.refused,
        }


def kept_from_json(kept: dict[str, list[str]], shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[Integers, ...]]:
    """The `kept` that `to_json` wrote, for parameters of these shapes."""
    return {
        name: (*(_indices(bits) for bits in packed), *(np.arange(size) for size in shapes[name][2:]))
        for name, packed in kept.items()
        if name in shapes
    }


def compact(graph: ir.Graph) -> Compaction:
    """Remove every channel that provably changes nothing when it is removed, in place; says what went."""
    found = channel_constraints(graph)
    gone = removed_channels(found)
    result = Compaction(refused=found.refused)
    if not any(flags.any() for flags in gone.values()):
        return result
    products = {mixing.node: mixing for mixing in found.products}
    for node in tuple(graph):
        if node in products:
            _shrink_product(products[node], found, gone, result)
        elif any(output in gone and gone[output].any() for output in node.outputs):
            _shrink_keeper(graph, node, gone, result)
    for value, flags in gone.items():
        if value.shape is not None and flags.any():
            value.shape = ir.Shape([value.shape[0], int((~flags).sum()), *value.shape[2:]])
    _drop_unused(graph)
    return result


def _drop_unused(graph: ir.Graph) -> None:
    for name, value in tuple(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            graph.initializers.pop(name)


def _shrink_keeper(graph: ir.Graph, node: ir.Node, gone: dict[ir.Value, Booleans], result: Compaction) -> None:
    """Adapts what a node that keeps channels apart knows of their number."""
    keep = np.flatnonzero(~gone[node.outputs[0]])
    if node.op_type == "Conv":
        _shrink_depthwise(node, gone, result)
    elif node.op_type == "BatchNormalization":
        for index in range(1, 5):
            _replace_input(graph, node, index, _array(node.inputs[index])[keep])
    elif node.op_type == "Reshape":
        _replace_input(graph, node, 1, np.array([-1, len(keep)], np.int64))


def _shrink_product(
    mixing: Product, found: ChannelConstraints, gone: dict[ir.Value, Booleans], result: Compaction
) -> None:
    node = mixing.node
    outputs, inputs = ~gone[node.outputs[0]], ~gone[mixing.source]
    if outputs.all() and inputs.all():
        return
    constants = np.where(inputs, 0, np.nan_to_num(found.constant(mixing.source)))
    bias = mixing.bias + mixing.fed(constants)
    _shrink(node, (outputs, inputs), bias[outputs], result)


def _shrink_depthwise(node: ir.Node, gone: dict[ir.Value, Booleans], result: Compaction) -> None:
    source = node.inputs[0]
    assert source is not None
    outputs = ~gone[node.outputs[0]]
    if outputs.all():
        return
    bias = _array(node.inputs[2])[outputs] if len(node.inputs) > 2 else np.zeros(int(outputs.sum()))  # noqa: PLR2004
    _shrink(node, (outputs, np.ones(1, np.bool_)), bias, result)
    node.attributes["group"] = ir.AttrInt64("group", int((~gone[source]).sum()))


def _shrink(node: ir.Node, kept: tuple[Booleans, Booleans], bias: NDArray[Any], result: Compaction) -> None:
    """Gives a product the kept part of its weight and a bias of its own."""
    graph, weight = node.graph, node.inputs[1]
    assert isinstance(graph, ir.Graph)
    assert weight is not None
    array = _array(weight)
    smaller = np.ascontiguousarray(array[np.ix_(*kept)])
    indices = (*map(np.flatnonzero, kept), *(np.arange(size) for size in array.shape[2:]))
    result.kept[str(weight.name)] = indices
    result.removed[str(weight.name)] = int((~kept[0]).sum())
    weight.const_value = ir.tensor(smaller, name=weight.name)
    weight.shape = ir.Shape(smaller.shape)
    if bias.any() or len(node.inputs) > 2:  # noqa: PLR2004 - X, W, B
        node.resize_inputs(3)
        _replace_input(graph, node, 2, bias.astype(np.float32))


def _replace_input(graph: ir.Graph, node: ir.Node, index: int, array: NDArray[Any]) -> None:
    """A constant of the node's own: equal constants of several nodes are one initializer."""
    owner = node.inputs[1].name if node.op_type in {"Conv", "Gemm"} and node.inputs[1] else node.name
    name = f"{owner}.compact.{index}"
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    graph.register_initializer(value)
    node.replace_input_with(index, value)


def _array(value: ir.Value | None) -> NDArray[Any]:
    assert value is not None
    assert value.const_value is not None
    array: NDArray[Any] = value.const_value.numpy()
    return array


def _hex(indices: Integers) -> str:
    flags = np.zeros(int(indices.max(initial=-1)) + 1, np.bool_)
    flags[indices] = True
    return np.packbits(flags, bitorder="little").tobytes().hex()


def _indices(packed: str) -> Integers:
    return np.flatnonzero(np.unpackbits(np.frombuffer(bytes.fromhex(packed), np.uint8), bitorder="little"))
