"""What is checked of a file before anything else reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from n2nsurgery.core.errors import UsageError, VerificationError
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.files.sample_loop import in_loop
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.pipelines.deploy import bench, verify


def adder(functions: list[onnx.FunctionProto] | None = None, called: str = "") -> onnx.ModelProto:
    """y = x + w, with three floats; by a call of the function `called` where there is one."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy"]
    node = (
        helper.make_node(called, ["x"], ["y"], domain="local") if called else helper.make_node("Add", ["x", "w"], ["y"])
    )
    weight = numpy_helper.from_array(np.array([1, 2, 3], np.float32), "w")
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weight])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions or [])


def stored(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def changed(**fields: object) -> Callable[[onnx.TensorProto], None]:
    """A change of the tensor's fields."""

    def change(tensor: onnx.TensorProto) -> None:
        for name, value in fields.items():
            if name == "dims":
                tensor.ClearField(name)
                tensor.dims.extend(value)  # type: ignore[arg-type]
            else:
                setattr(tensor, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(raw_data=bytes(11)), r"holds 11 bytes; \[3\] of FLOAT need 12"),
        (changed(dims=[2**40, 2**20]), "need 4611686018427387904"),
        (changed(dims=[-3]), r"has the shape \[-3\]"),
        (changed(data_type=99), "has the data type 99"),
        (changed(data_type=TensorProto.DOUBLE), "of DOUBLE need 24"),
        (changed(data_type=TensorProto.STRING), "holds 0 strings"),
    ],
)
def test_a_tensor_that_holds_less_than_it_says_is_refused(
    change: Callable[[onnx.TensorProto], None], said: str, tmp_path: Path
) -> None:
    model = adder()
    change(model.graph.initializer[0])
    with pytest.raises(VerificationError, match=said):
        load_model(stored(model, tmp_path))


@pytest.mark.parametrize(
    "kind", [TensorProto.FLOAT, TensorProto.INT4, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.STRING]
)
def test_a_tensor_of_any_type_in_fields_or_raw_is_read(kind: int, tmp_path: Path) -> None:
    values = [b"a", b"b", b"c"] if kind == TensorProto.STRING else [1, 0, 1]
    model = adder()
    model.graph.initializer.append(helper.make_tensor("v", kind, [3], values))
    assert len(load_model(stored(model, tmp_path)).graph.initializer) == 2


def test_a_null_byte_in_a_path_is_refused(tmp_path: Path) -> None:
    model = adder()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w\0eights.bin")
    with pytest.raises(VerificationError, match="is not a path"):
        load_model(stored(model, tmp_path))


def doubling(name: str, inner: str) -> onnx.FunctionProto:
    """A function that calls `inner` twice."""
    nodes = [
        helper.make_node(inner, ["a"], ["b"], domain="" if inner == "Relu" else "local"),
        helper.make_node(inner, ["b"], ["c"], domain="" if inner == "Relu" else "local"),
    ]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["a"], ["c"], nodes, opsets)


def test_functions_that_a_few_bytes_nest_to_a_large_graph_are_refused(tmp_path: Path) -> None:
    functions = [doubling(f"f{i}", f"f{i - 1}" if i else "Relu") for i in range(30)]
    assert len(load_model(stored(adder(functions, "f9"), tmp_path)).functions) == 30
    path = stored(adder(functions, "f29"), tmp_path)
    assert path.stat().st_size < 8500
    with pytest.raises(VerificationError, match="has 1,073,741,824 nodes when its functions are expanded"):
        load_model(path)


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"function 'f' of .* calls itself"):
        load_model(stored(adder([doubling("f", "g"), doubling("g", "f")], "f"), tmp_path))


def test_functions_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    functions = [doubling(f"f{i}", f"f{i - 1}" if i else "Relu") for i in range(80)]
    with pytest.raises(VerificationError, match="nests more than 64 functions"):
        load_model(stored(adder(functions, "f79"), tmp_path))


def test_an_input_of_a_huge_declared_size_is_refused_before_it_is_made(tmp_path: Path) -> None:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    for sizes, error, said in (
        (("batch", 8388608, 32), UsageError, "268,435,456 values; at most 67,108,864 are made up"),
        (("batch", 2**31, 32), VerificationError, "at most 2147483647 values are read"),
    ):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        with pytest.raises(error, match=said):
            verify.run(stored(model, tmp_path))


@pytest.mark.parametrize("command", [verify.run, bench.run])
def test_nothing_opens_external_data_outside_of_the_folder(
    command: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(12))
    model = adder()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    opened: list[object] = []
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *arguments, **_: opened.append(arguments))
    with pytest.raises(VerificationError, match="leaves the model's folder"):
        command(stored(model, inner))
    assert opened == []


@pytest.mark.parametrize("command", [verify.run, bench.run])
def test_a_folder_is_told_to_be_exported_first(command: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"is a folder; `n2nsurgery export .*` makes an .onnx file"):
        command(tmp_path)


def test_a_file_with_a_fixed_batch_of_one_is_verified(tmp_path: Path) -> None:
    assert verify.run(stored(adder(), tmp_path)).path.name == "m.onnx"


def test_a_file_without_standard_operators_is_inspected(tmp_path: Path) -> None:
    model = adder()
    model.opset_import[0].domain = "somebody"
    assert inspect_file(stored(model, tmp_path)).opset == 0


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_a_convolution_over_an_input_of_other_dimensions_is_refused(kind: str, tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2, 6]) for name in "xy"]
    weight = numpy_helper.from_array(np.ones((2, 2, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"], pads=[1, 1, 1, 1])], "g", values[:1], values[1:], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    for same in (model, in_loop(model)):
        with pytest.raises(VerificationError, match=f"{kind} in .* reads 'x' of 3 dimensions with the weight 'w' of 4"):
            load_model(stored(same, tmp_path))
