"""register: what it adds to the options of a session."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
from onnx import TensorProto, helper

from n2nsurgery import runtime


def test_a_second_registration_is_harmless(library: Path) -> None:
    assert runtime.library_path() == library
    options = onnxruntime.SessionOptions()
    runtime.register(options)
    runtime.register(options)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_outputs()] == ["y"]
