"""The portable form of small networks, whose convolutions are sparse where at most half of their weights are kept."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import helper, numpy_helper

from n2nsurgery.export.formats import apply_form
from n2nsurgery.export.sparse.weight_coding import codings

Source = tuple[int, ...]


def portable_form(
    nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray], source: Source
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The network from `x`, a batch of the shape `source`, to `y`, and its portable form, which passes the checker."""
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    values = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", *source]),
        helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None),
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    model = ir.from_proto(proto)
    result = ir.to_proto(apply_form(model, "portable", tuple(codings(model.graph, "fp32", lambda _match, _coded: 2.0))))
    onnx.checker.check_model(result, full_check=True)
    return proto, result


def answer(file: onnx.ModelProto, source: Source, options: onnxruntime.SessionOptions | None = None) -> np.ndarray:
    """What the network gives for two random samples."""
    x = np.random.default_rng(1).standard_normal((2, *source)).astype(np.float32)
    session = onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


def forms(nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray], source: Source) -> list[str]:
    """Operators of the portable form, which passes the checker and gives the bits of the dense one."""
    dense, portable = portable_form(nodes, tensors, source)
    assert np.array_equal(answer(dense, source), answer(portable, source))
    return [node.op_type for node in portable.graph.node]
