"""The portable form of a graph: operators of our domain, most with a coded weight, with functions in standard ONNX.

requires: weight_coding.codings (every rejection is a reason in a record)    rewrite: here    ensures: the codes decode
back to the weights (weight_coding), and ONNX Runtime computes the same with both forms (exporter)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.convenience import replace_nodes_and_values

from n2nsurgery.export.codec.coded import CodedWeight
from n2nsurgery.export.codec.packed import PackedFloats
from n2nsurgery.export.codec.values import FLOAT
from n2nsurgery.export.sparse.functions import function
from n2nsurgery.export.sparse.fusion_matches import FusionMatch
from n2nsurgery.export.sparse.operators import DOMAIN, GEOMETRY, VERSION, DecodedType, Kind, Operator
from n2nsurgery.export.sparse.unpacking import PACKED_TENSORS, UNPACK_FLOATS, unpacking_function
from n2nsurgery.export.sparse.weight_coding import WeightCoding

CODE_PARTS = ("gaps", "bits", "values", "scales", "decoded", *PACKED_TENSORS)
"""What follows a weight's name, and a point, in the names of the values that its code brings along."""


def rewrite(model: ir.Model, all_codings: Sequence[WeightCoding]) -> None:
    """Replace every coded weight of `model` by its code, in place.

    Weights that stay dense are not touched.
    """
    used: dict[str, Operator] = {}
    for coding in all_codings:
        if coding.coded is None:
            continue
        inputs = register_code(model.graph, coding)
        if coding.matches:
            operators = [_replace(model.graph, match, coding, inputs) for match in coding.matches]
        else:
            operators = [_decode_before_use(model.graph, coding, inputs)]
        used |= {operator.name: operator for operator in operators}
        model.graph.initializers.pop(str(coding.initializer.name))
    opset = model.graph.opset_imports[""]
    functions = [function(operator, opset) for operator in used.values()]
    if any(coding.coded and coding.coded.packed for coding in all_codings):
        functions.append(unpacking_function(opset))
    for local in functions:
        model.functions[local.identifier()] = local
    if used:
        model.opset_imports[DOMAIN] = VERSION


def register_code(graph: ir.Graph, coding: WeightCoding) -> tuple[ir.Value, ...]:
    """The constants of a coded weight, added to the graph: places, values and, where it has them, scales."""
    coded, record = coding.coded, coding.record
    assert coded is not None
    values = f"{record.name}.values"
    given = [
        initializer(graph, record.places, coded.places),
        _unpacked(graph, record.name, coded.packed) if coded.packed else initializer(graph, values, coded.values),
    ]
    if coded.scales is not None:
        given.append(initializer(graph, f"{record.name}.scales", coded.scales))
    return tuple(given)


def _unpacked(graph: ir.Graph, name: str, packed: PackedFloats) -> ir.Value:
    """The values of the weight `name`, computed of their packed form."""
    tensors = [initializer(graph, f"{name}.{part}", getattr(packed, part)) for part in PACKED_TENSORS]
    node = ir.node(UNPACK_FLOATS, tensors, domain=DOMAIN, name=f"unpack_{name}")
    values = node.outputs[0]
    values.name = f"{name}.values"
    values.shape, values.type = ir.Shape(packed.significands.shape[1:]), ir.TensorType(ir.DataType.FLOAT)
    graph.insert_before(graph[0], node)
    return values


def initializer(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """The initializer of this name; where there is none, `array` becomes it."""
    if name in graph.initializers:
        return graph.initializers[name]
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    graph.register_initializer(value)
    return value


def _replace(graph: ir.Graph, match: FusionMatch, coding: WeightCoding, code: tuple[ir.Value, ...]) -> Operator:
    """Puts one node of our domain in place of the fusion match's nodes."""
    coded = coding.coded
    assert coded is not None
    operator = operator_of(match, coded)
    bias = match.bias if match.bias is not None else zero_bias(graph, outputs_of(match, coded.shape))
    residual = () if match.residual is None else (match.residual,)
    first, last = match.nodes[0], match.nodes[-1]
    node = ir.node(
        operator.name,
        [first.inputs[0], *code, bias, *residual],
        attributes_of(operator.kind, first, coded.shape)
        | (dict(match.activation.settings) if match.activation else {}),
        domain=DOMAIN,
        name=first.name,
    )
    replace_nodes_and_values(graph, last, match.nodes[::-1], [node], last.outputs, node.outputs)
    return operator


def zero_bias(graph: ir.Graph, outputs: int) -> ir.Value:
    """A bias for a layer without one, shared by all of as many outputs."""
    return initializer(graph, f"{DOMAIN}.zeros.{outputs}", np.zeros(outputs, np.float32))


def operator_of(match: FusionMatch, coded: CodedWeight, *, fused: bool = True) -> Operator:
    """The operator that takes the fusion match's place; of its product alone where `fused` is not set."""
    return Operator(
        kind=match.form if match.kind == "Gemm" else match.kind, add=fused and match.add is not None,
        activation=match.activation.name if fused and match.activation else None, bits=coded.code == "bits",
        int8=coded.scales is not None,
    )  # fmt: skip


def attributes_of(kind: Kind, node: ir.Node, shape: tuple[int, ...]) -> dict[str, int | list[int]]:
    """The attributes of an operator of `kind` in place of the product `node`, ONNX's defaults written out."""
    rank, given = len(shape) - 2, node.attributes
    geometry: dict[str, int | list[int]] = {
        "strides": list(given.get_ints("strides", [1] * rank)),
        "pads": list(given.get_ints("pads", [0] * 2 * rank)),
        "output_padding": list(given.get_ints("output_padding", [0] * rank)),
        "dilations": list(given.get_ints("dilations", [1] * rank)),
        "group": given.get_int("group", 1),
    }
    return {"weight_shape": list(shape)} | {name: geometry[name] for name in GEOMETRY.get(kind, ())}


def outputs_of(match: FusionMatch, shape: tuple[int, ...]) -> int:
    """Outputs of the fusion match's product, whose weight has `shape`."""
    return shape[1] * match.nodes[0].attributes.get_int("group", 1) if match.kind == "ConvTranspose" else shape[0]


def _decoded_type(coded: CodedWeight) -> DecodedType | None:
    """The type of the weight where it is not float32."""
    return None if coded.type == FLOAT else cast("DecodedType", coded.type.name)


def _decode_before_use(graph: ir.Graph, coding: WeightCoding, code: tuple[ir.Value, ...]) -> Operator:
    """Stores the weight as a code and hands its consumers the decoded tensor."""
    coded, whole = coding.coded, coding.initializer
    assert coded is not None
    operator = Operator(
        kind="Decode", bits=coded.code == "bits", int8=coded.scales is not None, decoded=_decoded_type(coded)
    )
    name = coding.record.name
    node = ir.node(
        operator.name, code, {"weight_shape": list(coded.shape)}, domain=DOMAIN,
        name=f"decode_{name}",
    )  # fmt: skip
    nodes = [node]
    if coding.is_transposed:
        nodes.append(ir.node("Transpose", node.outputs, {"perm": [1, 0]}, name=f"turn_{name}"))
    decoded = nodes[-1].outputs[0]
    whole.replace_all_uses_with(decoded)
    node.outputs[0].name = f"{name}.decoded"
    decoded.name = str(whole.name)
    decoded.shape, decoded.type = whole.shape, whole.type
    if (unpacking := code[1].producer()) is not None:
        graph.insert_after(unpacking, nodes)
    elif len(graph):
        graph.insert_before(graph[0], nodes)
    return operator
