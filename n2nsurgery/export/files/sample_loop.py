"""A batch computed sample by sample: the whole network as the body of one ONNX Scan over its inputs.

ONNX Runtime computes a layer for all samples before the next layer. The results of a batch then leave the caches, which
sparse layers feel more than dense ones. In the loop each sample passes through the whole network alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from n2nsurgery.core.errors import UsageError
from n2nsurgery.export.files.sound import owners

LOOP = "n2nsurgery.samples"
"""The name of the Scan and of its body."""

_AXES = f"{LOOP}.axes"
_SAMPLE, _BATCH_OF_ONE = ".sample", ".batch_of_one"


def in_loop(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, whose inputs and outputs have one dynamic batch dimension first, with its nodes in a loop over samples.

    Raises UsageError where an input or output has another first dimension, or none. That the loop computes the same is
    for the caller to prove: the name of a dimension is all that says it is the batch.
    """
    _require_batched(model.graph)
    looped = onnx.ModelProto()
    looped.CopyFrom(model)
    graph, body = looped.graph, onnx.GraphProto()
    body.CopyFrom(model.graph)
    body.name = LOOP
    inputs, outputs = [value.name for value in graph.input], [value.name for value in graph.output]
    _rename(body, {name: name + _BATCH_OF_ONE for name in (*inputs, *outputs)})
    for values in (body.input, body.output):
        for value in values:
            value.name = value.name.removesuffix(_BATCH_OF_ONE) + _SAMPLE
            del value.type.tensor_type.shape.dim[0]
    before = [helper.make_node("Unsqueeze", [x + _SAMPLE, _AXES], [x + _BATCH_OF_ONE]) for x in inputs]
    after = [helper.make_node("Squeeze", [y + _BATCH_OF_ONE, _AXES], [y + _SAMPLE]) for y in outputs]
    nodes = [*before, *body.node, *after]
    del body.node[:]
    body.node.extend(nodes)
    body.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), _AXES))
    for field in ("node", "initializer", "value_info"):
        graph.ClearField(field)
    graph.node.append(helper.make_node("Scan", inputs, outputs, LOOP, num_scan_inputs=len(inputs), body=body))
    return looped


def without_loop(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model that `in_loop` made `model` of, for reading what is in it; any other model is returned as it is."""
    body = _body(model.graph)
    if body is None:
        return model
    inputs, outputs = [value.name for value in model.graph.input], [value.name for value in model.graph.output]
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    graph = plain.graph
    graph.ClearField("node")
    graph.node.extend(body.node[len(inputs) : len(body.node) - len(outputs)])
    graph.value_info.extend(body.value_info)
    graph.initializer.extend(tensor for tensor in body.initializer if tensor.name != _AXES)
    _rename(graph, {name + _BATCH_OF_ONE: name for name in (*inputs, *outputs)})
    return plain


def _body(graph: onnx.GraphProto) -> onnx.GraphProto | None:
    """The body of a loop as `in_loop` makes it; None where `graph` has none."""
    if len(graph.node) != 1 or graph.initializer or graph.node[0].op_type != "Scan" or graph.node[0].name != LOOP:
        return None
    names = [value.name for value in graph.input], [value.name for value in graph.output]
    body = next((attribute.g for attribute in graph.node[0].attribute if attribute.name == "body"), onnx.GraphProto())
    first, last = body.node[: len(names[0])], body.node[max(0, len(body.node) - len(names[1])) :]
    expected = [("Unsqueeze", name + _BATCH_OF_ONE) for name in names[0]], [("Squeeze", n + _SAMPLE) for n in names[1]]
    return body if (_made(first), _made(last)) == expected else None


def _made(nodes: Sequence[onnx.NodeProto]) -> list[tuple[str, str]]:
    return [(node.op_type, node.output[0]) for node in nodes if len(node.output) == 1]


def _require_batched(graph: onnx.GraphProto) -> None:
    """Raise UsageError unless all inputs have the same dynamic first dimension, and all outputs a dynamic one.

    Exporters name that of an output otherwise where they were not told that it is the batch.
    """
    firsts = {value.name: _sizes(value)[:1] for value in graph.input}
    batch = next((first for first in firsts.values() if first and isinstance(first[0], str)), ["batch"])
    other = [value for value in graph.input if firsts[value.name] != batch]
    other += [value for value in graph.output if not any(isinstance(size, str) for size in _sizes(value)[:1])]
    if other:
        raise UsageError(
            "needs a dynamic batch as the first dimension of every input and output; that of"
            f" '{other[0].name}' is none (its shape is {_sizes(other[0])})",
            field="sample_loop", joint=" ",
        )  # fmt: skip


def _sizes(value: onnx.ValueInfoProto) -> list[int | str]:
    """The sizes that a value declares, open ones by their name."""
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in value.type.tensor_type.shape.dim]


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give values of `graph`, and of the graphs inside of its nodes, the names that `names` has for theirs."""
    for part in owners(graph):
        for value in (*part.input, *part.output, *part.value_info, *part.initializer):
            value.name = names.get(value.name, value.name)
        for node in part.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
