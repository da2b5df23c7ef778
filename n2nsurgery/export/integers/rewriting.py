"""A graph's integer layers, put in place of its float ones.

    float value -> QuantizeLinear -> layer -> layer -> DequantizeLinear -> float value

Levels pass from one integer layer to the next as they are, through operators that only choose or move values, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.convenience import replace_nodes_and_values

from n2nsurgery.export.codec.coded import CodedWeight
from n2nsurgery.export.integers.functions import IntegerOperator, integer_function
from n2nsurgery.export.integers.interleaving import interleave_between
from n2nsurgery.export.integers.layers import IntegerLayer
from n2nsurgery.export.integers.levels import Levels, levels_of
from n2nsurgery.export.integers.ranges import Range
from n2nsurgery.export.integers.widened_ranges import bias_of, moves, widened
from n2nsurgery.export.sparse.operators import DOMAIN, VERSION
from n2nsurgery.export.sparse.portable import attributes_of, initializer, register_code

_LEAST_STEPS = 2**20
"""Steps in which the bias of an output without weights is counted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Quantized:
    """A float value as levels; `constants`: the initializers of their scale and zero."""

    value: ir.Value
    levels: Levels
    constants: tuple[ir.Value, ir.Value]


@dataclass(kw_only=True, eq=False)
class _Rewriting:
    graph: ir.Graph
    ranges: Mapping[str, Range]
    known: dict[ir.Value, _Quantized] = field(default_factory=dict)

    def quantized(self, value: ir.Value) -> _Quantized:
        """`value` as levels: as they are there already, moved as the floats are, or made of the floats."""
        if value not in self.known:
            self.known[value] = self._moved(value) or self._made(value)
        return self.known[value]

    def levels_at(self, name: str) -> Levels:
        """The levels of the tensor that had this name in the calibrated graph."""
        return levels_of(*self.ranges[name])

    def constants(self, name: str, levels: Levels) -> tuple[ir.Value, ir.Value]:
        """Initializers of a scale and its zero."""
        scale = initializer(self.graph, f"{name}.scale", np.asarray(levels.scale, np.float32))
        return scale, initializer(self.graph, f"{name}.zero_point", np.asarray(levels.zero, np.uint8))

    def _moved(self, value: ir.Value) -> _Quantized | None:
        node = value.producer()
        if not moves(node):
            return None
        source = node.inputs[0]
        if source is None or not self._ends_in_levels(source):
            return None
        before = self.quantized(source)
        moved = ir.node(
            node.op_type, [before.value, *node.inputs[1:]], dict(node.attributes), name=f"{node.name}.levels"
        )
        moved.outputs[0].shape, moved.outputs[0].type = value.shape, ir.TensorType(ir.DataType.UINT8)
        moved.outputs[0].name = f"{value.name}.levels"
        self.graph.insert_after(node, moved)
        return _Quantized(value=moved.outputs[0], levels=before.levels, constants=before.constants)

    def _ends_in_levels(self, value: ir.Value) -> bool:
        """The value comes, moved at most, from an integer layer."""
        node = value.producer()
        if value in self.known or not moves(node):
            return value in self.known
        return node.inputs[0] is not None and self._ends_in_levels(node.inputs[0])

    def _made(self, value: ir.Value) -> _Quantized:
        name = str(value.name)
        levels = self.levels_at(name)
        constants = self.constants(name, levels)
        node = ir.node("QuantizeLinear", [value, *constants], name=f"{name}.quantize")
        node.outputs[0].name = f"{name}.levels"
        node.outputs[0].shape, node.outputs[0].type = value.shape, ir.TensorType(ir.DataType.UINT8)
        if (producer := value.producer()) is None:
            self.graph.insert_before(self.graph[0], node)
        else:
            self.graph.insert_after(producer, node)
        return _Quantized(value=node.outputs[0], levels=levels, constants=constants)

    def replace(self, layer: IntegerLayer, product: str, result: str) -> IntegerOperator:
        """Put the operator of `layer` in its place; `product` and `result` as its tensors were named."""
        match, coded = layer.match, layer.coded
        first, last = match.nodes[0], match.nodes[-1]
        assert first.inputs[0] is not None
        source = self.quantized(first.inputs[0])
        operator = IntegerOperator(
            kind="Conv" if match.kind == "Conv" else "Gemm" if match.form == "Gemm" else "MatMul",
            add=match.add is not None, bits=coded.code == "bits",
        )  # fmt: skip
        given = self.levels_at(result)
        constants = self.constants(result, given)
        own = constants if match.add is None else self.constants(f"{product}.product", self.levels_at(product))
        inputs = [source.value, *source.constants, *self._weight(layer, source.levels), *own]
        if match.residual is not None:
            residual = self.quantized(match.residual)
            inputs += [residual.value, *residual.constants, *constants]
        node = ir.node(
            operator.name, inputs, attributes_of(operator.kind, first, coded.shape), domain=DOMAIN,
            name=first.name,
        )  # fmt: skip
        node.outputs[0].name = f"{result}.levels"
        node.outputs[0].shape, node.outputs[0].type = last.outputs[0].shape, ir.TensorType(ir.DataType.UINT8)
        floats = ir.node("DequantizeLinear", [node.outputs[0], *constants], name=f"{result}.floats")
        replace_nodes_and_values(self.graph, last, match.nodes[::-1], [node, floats], last.outputs, floats.outputs)
        self.known[floats.outputs[0]] = _Quantized(value=node.outputs[0], levels=given, constants=constants)
        return operator

    def _weight(self, layer: IntegerLayer, source: Levels) -> list[ir.Value]:
        """The weight's code, its scales and the bias in steps of the sum."""
        floats = bias_of(layer)
        scales = scales_for(layer.coded, floats, source)
        steps = np.rint(floats.astype(np.float64) / (source.scale * scales.astype(np.float64)))
        name = layer.coding.record.name
        code = register_code(self.graph, replace(layer.coding, coded=replace(layer.coded, scales=scales)))
        return [*code, initializer(self.graph, f"{name}.bias.steps", steps.astype(np.int32))]


def scales_for(coded: CodedWeight, bias: NDArray[np.float32], source: Levels) -> NDArray[np.float32]:
    """The scales of the weight's rows; one without weights has a scale under which its bias is exact to 2^-20."""
    assert coded.scales is not None
    rows = coded.decoded().reshape(coded.shape[0], -1)
    fine = np.where(bias == 0, 1, np.abs(bias) / (source.scale * _LEAST_STEPS))
    return np.where(rows.any(axis=1), coded.scales, fine).astype(np.float32)


def rewrite_integers(model: ir.Model, layers: Sequence[IntegerLayer], ranges: Mapping[str, Range]) -> None:
    """Replace `layers` by integer operators with their functions, in place."""
    rewriting = _Rewriting(graph=model.graph, ranges=widened(layers, ranges))
    opset = model.graph.opset_imports[""]
    place = {node: index for index, node in enumerate(model.graph)}
    ordered = sorted(layers, key=lambda layer: place[layer.match.nodes[-1]])
    named = [(layer, layer.product, layer.result) for layer in ordered]
    for layer, product, result in named:
        local = integer_function(rewriting.replace(layer, product, result), opset)
        model.functions[local.identifier()] = local
    for layer in layers:
        model.graph.initializers.pop(str(layer.coding.initializer.name), None)
    _drop_unread(model.graph)
    interleave_between(model.graph)
    model.opset_imports[DOMAIN] = VERSION


def _drop_unread(graph: ir.Graph) -> None:
    """Remove conversions and moves that nobody reads any more."""
    for node in reversed(tuple(graph)):
        gone = moves(node) or (not node.domain and node.op_type == "DequantizeLinear")
        if gone and not any(output.uses() or output.is_graph_output() for output in node.outputs):
            graph.remove(node, safe=True)
