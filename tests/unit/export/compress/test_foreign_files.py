"""What files of others hold that is easily taken for something else; the small file is run beside the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from n2nsurgery.core.errors import UsageError, VerificationError
from n2nsurgery.export.compress.compressor import compress_file
from n2nsurgery.export.compress.config import CompressConfig
from n2nsurgery.export.compress.report import CompressReport
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime

RANDOM = np.random.default_rng(0)
IMAGE, ROWS = ("N", 32, 8, 8), ("N", 20, 64)
node = helper.make_node


def zeros_beside(*shape: int) -> np.ndarray:
    return (RANDOM.normal(size=shape) * (RANDOM.random(shape) < 0.05)).astype(np.float32)


KERNEL, W, V = zeros_beside(32, 32, 3, 3), zeros_beside(64, 64), zeros_beside(64, 64)
PADS = [1, 1, 1, 1]


def value(name: str, shape: object = None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def file_of(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    shape: object,
    *more: onnx.ValueInfoProto,
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> onnx.ModelProto:
    """A model from `x` and `more` to `y`."""
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [value("x", shape), *more], [value("y")], stored)
    sets = [helper.make_opsetid("", 17), *(helper.make_opsetid("mine", 1) for _ in functions[:1])]
    return helper.make_model(graph, opset_imports=sets, ir_version=8, functions=functions)


def compressed(folder: Path, proto: onnx.ModelProto, **options: object) -> CompressReport:
    onnx.save(proto, folder / "in.onnx")
    config = CompressConfig(**options)  # type: ignore[arg-type]
    return compress_file(folder / "in.onnx", folder / "out.onnx", config=config, libraries=sparse_runtime())


def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [], [value(nodes[-1].output[0])])


def either(*then: onnx.NodeProto) -> onnx.NodeProto:
    """`then` where the input `c` is true, else what `h` is."""
    other = branch("no", node("Identity", ["h"], ["no.y"]))
    return node("If", ["c"], ["y"], then_branch=branch("yes", *then), else_branch=other)


def scan() -> onnx.NodeProto:
    """Sums over `x`, the last of which and all of which are one value of the body."""
    inner = [
        node("MatMul", ["s", "w"], ["h"]), node("Add", ["h", "e"], ["sum"]), node("Identity", ["sum"], ["each"]),
    ]  # fmt: skip
    body = helper.make_graph(
        inner, "b", [value("s", (64,)), value("e", (64,))], [value("sum", (64,)), value("each", (64,))]
    )
    return node("Scan", ["start", "x"], ["last", "y"], num_scan_inputs=1, body=body)


SQUARED = helper.make_function(
    "mine", "Squared", ["a"], ["b"],
    [node("Constant", [], ["k"], value=numpy_helper.from_array(W)), node("MatMul", ["a", "k"], ["b"])],
    [helper.make_opsetid("", 14)],
)  # fmt: skip

BIAS, LEAST = np.linspace(-1, 1, 64, dtype=np.float32), np.float32(-np.inf)
CONV, MATMUL = node("Conv", ["x", "w"], ["h"], pads=PADS), node("MatMul", ["x", "w"], ["h"])
FILES = {
    "a bias that a caller may replace": file_of(
        [MATMUL, node("Add", ["h", "b"], ["y"])], {"w": W, "b": BIAS}, ROWS, value("b", (64,))
    ),
    "a bias that is not finite": file_of(
        [node("Conv", ["x", "w", "b"], ["y"])], {"w": KERNEL, "b": np.where(BIAS[:32] < -0.9, LEAST, BIAS[:32])}, IMAGE
    ),
    "a tensor with the name of a code": file_of(
        [MATMUL, node("Add", ["h", "w.values"], ["y"])], {"w": W, "w.values": BIAS}, ROWS
    ),
    "a result with the name of a code": file_of(
        [node("MatMul", ["x", "w"], ["w.gaps"]), node("Relu", ["w.gaps"], ["y"])], {"w": W}, ROWS
    ),
    "a kernel with the name of a turned weight": file_of(
        [node("Conv", ["x", "w.T"], ["y"], pads=PADS)], {"w.T": KERNEL}, IMAGE
    ),
    "two weights with the names of one": file_of(
        [MATMUL, node("MatMul", ["h", "w.T"], ["y"])], {"w": W, "w.T": V}, ROWS
    ),
    "a branch that returns what is outside of it": file_of(
        [CONV, node("Relu", ["h"], ["r"]), either(node("Add", ["h", "r"], ["yes.y"]))], {"w": KERNEL}, IMAGE,
        value("c", (), TensorProto.BOOL),
    ),
    "a body that returns one value twice": file_of([scan()], {"w": W, "start": BIAS * 0}, ("N", 64)),
    "a function of another operator set": file_of(
        [node("Squared", ["x"], ["y"], domain="mine")], {}, ROWS, functions=(SQUARED,)
    ),
    "a convolution over four axes": file_of(
        [node("Conv", ["x", "w"], ["y"])], {"w": zeros_beside(64, 32, 1, 1, 1, 1)}, ("N", 32, 2, 2, 2, 2)
    ),
    "an input that is one number": file_of(
        [CONV, node("Mul", ["h", "s"], ["y"])], {"w": KERNEL}, IMAGE, value("s", ())
    ),
}  # fmt: skip
FILES["standard operators under their long name"] = file_of([CONV, node("Relu", ["h"], ["y"])], {"w": KERNEL}, IMAGE)
FILES["standard operators under their long name"].opset_import[0].domain = "ai.onnx"
FILES["a number before the batch"] = file_of([CONV, node("Mul", ["h", "s"], ["y"])], {"w": KERNEL}, IMAGE)
FILES["a number before the batch"].graph.input.insert(0, value("s", ()))


FILES["nodes in another order, in a graph without a name"] = file_of(
    [CONV, node("Relu", ["h"], ["y"])][::-1], {"w": KERNEL}, IMAGE
)
FILES["nodes in another order, in a graph without a name"].graph.name = ""

for given, operator in ((9, "Upsample"), (10, "Resize")):
    for mode in ("nearest", "linear"):
        resize = node(operator, ["h", "sizes"], ["y"], mode=mode)
        FILES[f"{operator} {mode} of operator set {given}"] = file_of(
            [CONV, resize], {"w": KERNEL, "sizes": np.array([1, 1, 2.5, 3], np.float32)}, IMAGE
        )
        FILES[f"{operator} {mode} of operator set {given}"].opset_import[0].version = given


@pytest.mark.parametrize("proto", FILES.values(), ids=FILES)
def test_the_small_file_computes_what_the_original_does(proto: onnx.ModelProto, tmp_path: Path) -> None:
    report = compressed(tmp_path, proto)
    assert "gaps8" in {weight.code for weight in report.weights}
    assert not any("checker" in note for note in report.notes)
    original, small = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for path in (tmp_path / "in.onnx", report.path)
    )
    generator = np.random.default_rng(7)
    for truth in (True, False):
        feed = {
            given.name: np.array(truth) if given.type == "tensor(bool)"
            else generator.normal(size=[3 if size == "N" else size for size in given.shape]).astype(np.float32)
            for given in (*original.get_inputs(), *original.get_overridable_initializers())
        }  # fmt: skip
        np.testing.assert_allclose(small.run(None, feed)[0], original.run(None, feed)[0], rtol=1e-5, atol=1e-5)


def test_the_external_data_of_a_function_is_read_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = file_of([node("Squared", ["x"], ["y"], domain="mine")], {}, ROWS, functions=(SQUARED,))
    proto.functions[0].opset_import[0].version = 17
    stored = proto.functions[0].node[0].attribute[0].t
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "k.bin").write_bytes(stored.raw_data)
    (tmp_path / "k.bin").write_bytes(bytes(len(stored.raw_data)))  # in the current folder, and not meant
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="k.bin")
    monkeypatch.chdir(tmp_path)
    report = compressed(Path("here"), proto)
    assert [weight.nnz for weight in report.weights] == [np.count_nonzero(W)]


def test_a_layer_before_levels_in_a_branch_is_computed_densely(tmp_path: Path) -> None:
    levels = [
        node("DynamicQuantizeLinear", ["h"], ["q", "s", "z"]), node("DequantizeLinear", ["q", "s", "z"], ["yes.y"]),
    ]  # fmt: skip
    proto = file_of([CONV, either(*levels)], {"w": KERNEL}, IMAGE, value("c", (), TensorProto.BOOL))
    (weight,) = compressed(tmp_path, proto).weights
    assert (weight.code, weight.computed) == ("gaps8", "dense")
    assert "quantizes activations" in weight.reason


def test_a_sparse_constant_is_refused(tmp_path: Path) -> None:
    entries = (
        helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("i", TensorProto.INT64, [1], [3]),
    )
    stored = node("Constant", [], ["w"], sparse_value=helper.make_sparse_tensor(*entries, [64, 64]))
    with pytest.raises(UsageError, match="holds 1 weight as ONNX's sparse tensors"):
        compressed(tmp_path, file_of([stored, node("MatMul", ["x", "w"], ["y"])], {}, ROWS))


def test_what_cannot_be_rewritten_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = file_of([node("Conv", ["x", "nowhere"], ["y"])], {}, IMAGE)
    with pytest.raises(VerificationError, match="nowhere"):
        compressed(tmp_path, unknown)
    with pytest.raises(UsageError, match="holds what cannot be rewritten: Output 'x' is redeclared"):
        compressed(tmp_path, file_of([node("Conv", ["x", "w"], ["x"]), CONV], {"w": KERNEL}, IMAGE))
    assert capsys.readouterr() == ("", "")


def test_a_file_that_only_imports_our_domain_is_compressed(tmp_path: Path) -> None:
    proto = file_of([CONV, node("Relu", ["h"], ["y"])], {"w": KERNEL}, IMAGE)
    proto.opset_import.append(helper.make_opsetid("n2nsurgery", 1))  # ONNX Runtime writes all domains that it knows
    assert compressed(tmp_path, proto).weights[0].computed == "sparse"


@pytest.mark.parametrize("shape", ["1x32x8x8", "2x32x8x8"])
def test_a_loop_over_samples_is_proven_with_several_of_a_given_shape(shape: str, tmp_path: Path) -> None:
    nodes = [CONV, node("ReduceMean", ["h"], ["mean"], axes=[0]), node("Sub", ["h", "mean"], ["y"])]
    proto = file_of(nodes, {"w": KERNEL}, IMAGE)
    with pytest.raises(VerificationError, match=r"differs from the dense form .* leave out sample_loop"):
        compressed(tmp_path, proto, sample_loop=True, input_shapes={"x": shape})
    proto = file_of([CONV, node("Relu", ["h"], ["y"])], {"w": KERNEL}, IMAGE)
    report = compressed(tmp_path, proto, sample_loop=True, input_shapes={"x": shape})
    assert {line.batch for line in report.parity} == {int(shape[0]), int(shape[0]) + 1}


def test_the_weights_of_the_original_are_not_replaced_by_those_of_the_output(tmp_path: Path) -> None:
    proto = file_of([CONV, node("Relu", ["h"], ["y"])], {"w": KERNEL}, IMAGE)
    onnx.save(proto, tmp_path / "in.onnx", save_as_external_data=True, location="out.onnx.data", size_threshold=0)
    with pytest.raises(UsageError, match=r"out.onnx.data' holds the weights of .*choose another output"):
        compress_file(tmp_path / "in.onnx", tmp_path / "out.onnx", overwrite=True)
    assert (tmp_path / "out.onnx.data").is_file()
    assert compress_file(tmp_path / "in.onnx", tmp_path / "in.onnx", overwrite=True).external_data is None
