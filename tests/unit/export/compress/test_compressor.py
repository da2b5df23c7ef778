"""compress_file: files of many exporters, written by hand or by torch, become small and compute the same."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from n2nsurgery.core.errors import UnknownNameError, UsageError, VerificationError
from n2nsurgery.export.compress.compressor import compress_file
from n2nsurgery.export.compress.config import CompressConfig
from n2nsurgery.export.compress.report import CompressReport
from n2nsurgery.export.files import onnx_file
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.export.proof.verify_file import sample_noise, verify_file
from n2nsurgery.export.sparse.operators import DOMAIN
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime

IMAGE = ("N", 16, 6, 6)


def sparse(*shape: int, density: float = 0.1, seed: int = 0, dtype: type = np.float32) -> np.ndarray:
    """A weight with the given share of entries; integers are in [-127, 127]."""
    generator = np.random.default_rng(seed)
    values = generator.integers(1, 127, shape) if np.issubdtype(dtype, np.integer) else generator.normal(size=shape)
    return np.where(generator.random(shape) < density, values, 0).astype(dtype)


def model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    shape: tuple[int | str | None, ...] = IMAGE,
    *,
    opset: int = 17,
    ir_version: int = 8,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model from `x` to `y`."""
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def compressed(folder: Path, proto: onnx.ModelProto, **options: object) -> CompressReport:
    onnx.save(proto, folder / "in.onnx")
    config = CompressConfig(**options)  # type: ignore[arg-type]
    return compress_file(folder / "in.onnx", folder / "out.onnx", config=config, overwrite=True)


def operators(report: CompressReport) -> list[str]:
    return [node.op_type for node in load_model(report.path).graph.node]


def weights(report: CompressReport) -> dict[str, tuple[str, str]]:
    return {weight.name: (weight.code, weight.computed) for weight in report.weights}


def conv(weight: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node("Conv", ["x", weight], ["y"], **attributes)


class Network(nn.Module):
    """conv-BN-ReLU twice with a shortcut, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.body = nn.Conv2d(32, 32, 3, padding=1, groups=2)
        self.head = nn.Linear(32, 40)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 16, 6, 6) -> (N, 40)."""
        a = torch.relu(self.norm(self.stem(x)))
        return self.head(torch.relu(self.body(a) + a).mean((2, 3)))


@pytest.fixture(scope="module")
def network() -> Network:
    """Every weight has a twentieth of its entries, as torch.nn.utils.prune or NNCF leave them after their removal."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Network().eval()
    with torch.no_grad():
        for index, parameter in enumerate(p for p in net.parameters() if p.dim() > 1):
            parameter.mul_(torch.from_numpy(sparse(*parameter.shape, density=0.05, seed=index) != 0))
    return net


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 15, 17, 20])
def test_a_file_of_torchs_older_exporter_is_compressed_at_every_operator_set(
    network: Network, opset: int, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.randn(2, 16, 6, 6),), tmp_path / "in.onnx", opset_version=opset, dynamo=False,
            input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}},
        )  # fmt: skip
    report = compress_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert report.opset == max(opset, 13)
    assert report.identical
    assert report.size < 0.4 * report.source_size
    assert {*operators(report)} - {"Constant"} == {"SparseConvRelu", "SparseConvAddRelu", "ReduceMean", "SparseGemm"}
    assert max(line.difference for line in report.parity) < 1e-6  # a few float32 roundings


def test_a_file_of_torchs_newer_exporter_is_compressed_under_its_names(network: Network, tmp_path: Path) -> None:
    torch.onnx.export(
        network, (torch.randn(2, 16, 6, 6),), tmp_path / "in.onnx", dynamo=True, verbose=False,
        dynamic_shapes=({0: "n"},), external_data=True,
    )  # fmt: skip
    report = compress_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert weights(report)["body.weight"] == ("gaps8", "sparse")
    assert "BatchNormalization" not in operators(report)
    assert report.source_size == sum(file.stat().st_size for file in tmp_path.glob("in.onnx*"))
    assert report.external_data is None
    assert report.identical


@pytest.mark.parametrize("opset", [13, 17, 18, 21, 24])
@pytest.mark.parametrize("density", [0.05, 0.3])
def test_both_codes_are_decoded_in_operators_of_every_set(opset: int, density: float, tmp_path: Path) -> None:
    if opset == 24 and tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 24):
        pytest.skip("ONNX Runtime before 1.24 has no operator set 24")
    node = conv("w", pads=[1, 1, 1, 1])
    report = compressed(tmp_path, model([node], {"w": sparse(32, 16, 3, 3, density=density)}, opset=opset))
    assert weights(report) == {"w": ("gaps8" if density == 0.05 else "bits", "sparse")}
    assert report.identical


def matmul(x: str = "x") -> list[onnx.NodeProto]:
    return [helper.make_node("MatMul", [x, "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]


def constant(name: str, array: np.ndarray) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name))


W = sparse(64, 48, density=0.04)
B = np.linspace(-1, 1, 48, dtype=np.float32)
KERNEL = sparse(3, 3, 16, 32)  # as TensorFlow stores it

LAYOUTS = {
    "a dense layer as Keras writes it": model(matmul(), {"w": W, "b": B}, ("N", 64)),
    "a Gemm with its weight as inputs by outputs": model(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": B}, ("N", 64)
    ),
    "a Gemm whose bias is a row": model(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"w": W.T.copy(), "b": B[None]}, ("N", 64)
    ),
    "a weight in a Constant node": model([constant("w", W), *matmul()], {"b": B}, ("N", 64)),
    "a weight behind an Identity": model(
        [helper.make_node("Identity", ["stored"], ["w"]), *matmul()], {"stored": W, "b": B}, ("N", 64)
    ),
    "a weight behind a Transpose": model(
        [helper.make_node("Transpose", ["stored"], ["w"], perm=[1, 0]), *matmul()], {"stored": W.T.copy(), "b": B},
        ("N", 64),
    ),
    "a convolution between transposes, as tf2onnx writes it": model(
        [
            helper.make_node("Transpose", ["x"], ["nchw"], perm=[0, 3, 1, 2]),
            helper.make_node("Transpose", ["stored"], ["w"], perm=[3, 2, 0, 1]),
            helper.make_node("Conv", ["nchw", "w"], ["c"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Transpose", ["r"], ["y"], perm=[0, 2, 3, 1]),
        ],
        {"stored": KERNEL}, ("N", 8, 8, 16),
    ),
    "a file of IR version 3, whose constants are inputs": model(matmul(), {"w": W, "b": B}, ("N", 64), ir_version=3),
    "an open size without a name": model(matmul(), {"w": W, "b": B}, (None, 64)),
}  # fmt: skip
LAYOUTS["a file of IR version 3, whose constants are inputs"].graph.input.extend([
    helper.make_tensor_value_info("w", TensorProto.FLOAT, W.shape),
    helper.make_tensor_value_info("b", TensorProto.FLOAT, B.shape),
])  # fmt: skip


@pytest.mark.parametrize("proto", LAYOUTS.values(), ids=LAYOUTS)
def test_a_weight_is_found_wherever_an_exporter_puts_it(proto: onnx.ModelProto, tmp_path: Path) -> None:
    report = compressed(tmp_path, proto)
    assert [(weight.code, weight.computed) for weight in report.weights] == [("gaps8", "sparse")]
    assert report.inputs == ("x",)
    assert report.identical


def test_a_weight_that_two_layers_share_is_stored_once(tmp_path: Path) -> None:
    square = sparse(48, 48, density=0.04)
    first = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "w"], ["y"])]
    report = compressed(tmp_path, model(first, {"w": square}, ("N", 48)))
    assert operators(report) == ["SparseMatMul", "SparseMatMul"]
    assert len(load_model(report.path).graph.initializer) == 3  # gaps, values, and a bias of zeros


def test_a_weight_that_is_also_read_turned_is_not_copied(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["w", "i"], ["e"]),
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["m"]),
        helper.make_node("Add", ["m", "e2"], ["y"]),
        helper.make_node("ReduceMax", ["e"], ["e2"], keepdims=0),
    ]
    order = [nodes[0], nodes[4], nodes[1], nodes[2], nodes[3]]
    report = compressed(tmp_path, model(order, {"w": W, "i": np.array([1, 2])}, ("N", 48)))
    (weight,) = report.weights
    assert (weight.code, weight.computed) == ("gaps8", "dense")
    assert report.size < report.source_size / 3


def test_a_weight_inside_a_branch_is_coded_and_computed_densely(tmp_path: Path) -> None:
    def branch(name: str, scale: float) -> onnx.GraphProto:
        inner = [helper.make_node("MatMul", ["x", f"w_{name}"], [f"y_{name}"])]
        stored = [numpy_helper.from_array(W * np.float32(scale), f"w_{name}")]
        out = helper.make_tensor_value_info(f"y_{name}", TensorProto.FLOAT, None)
        return helper.make_graph(inner, name, [], [out], stored)

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branch("then", 1), else_branch=branch("else", 2)),
    ]
    report = compressed(tmp_path, model(nodes, {"zero": np.zeros((), np.float32)}, ("N", 64)))
    assert weights(report) == {"w_then": ("gaps8", "dense"), "w_else": ("gaps8", "dense")}
    assert {weight.reason for weight in report.weights} == {"is used inside a branch or loop"}


def quantized(opset: int = 17) -> onnx.ModelProto:
    """x -> QDQ -> Conv with a weight of int8 and one scale for each output channel -> y, as NNCF and ORT write it."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["y"], pads=[1, 1, 1, 1]),
    ]
    constants = {
        "s": np.float32(0.03), "z": np.uint8(128), "w": sparse(32, 16, 3, 3, dtype=np.int8),
        "ws": np.linspace(0.01, 0.02, 32, dtype=np.float32), "wz": np.zeros(32, np.int8),
    }  # fmt: skip
    return model(nodes, {name: np.asarray(array) for name, array in constants.items()}, opset=opset)


def test_the_integers_of_a_quantized_file_are_coded_and_stay_integers(tmp_path: Path) -> None:
    report = compressed(tmp_path, quantized())
    (weight,) = report.weights
    assert (weight.code, weight.values, weight.type, weight.computed) == ("gaps8", "int8", "int8", "dense")
    assert weight.reason == "is INT8; sparse kernels compute with float32"
    assert report.identical
    assert operators(report) == ["DecodeToInt8", "QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "Conv"]


def test_a_layer_beside_quantized_activations_is_computed_densely(tmp_path: Path) -> None:
    proto = quantized()
    proto.graph.node[-1].output[0] = "c"
    proto.graph.node.append(helper.make_node("Conv", ["c", "w2"], ["y"]))
    proto.graph.initializer.append(numpy_helper.from_array(sparse(64, 32, 1, 1), "w2"))
    report = compressed(tmp_path, proto)
    assert weights(report) == {"w": ("gaps8", "dense"), "w2": ("gaps8", "dense")}
    assert "quantizes activations" in report.weights[1].reason


def test_halves_are_coded_without_rounding(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
    ]
    report = compressed(tmp_path, model(nodes, {"w": W.astype(np.float16)}, ("N", 64)))
    (weight,) = report.weights
    assert (weight.code, weight.values, weight.type) == ("gaps8", "fp16", "float16")
    assert report.identical


def test_inspect_and_verify_read_what_was_compressed(tmp_path: Path) -> None:
    report = compressed(tmp_path, quantized())
    found = inspect_file(report.path)
    assert found.disagreements == ()
    assert found.document is not None
    assert found.document["source"]["file"] == "in.onnx"
    assert verify_file(report.path, sample_noise(report.path)).weights == 1


def test_other_metadata_and_the_names_of_inputs_and_outputs_stay(tmp_path: Path) -> None:
    proto = model(matmul(), {"w": W, "b": B}, ("rows", 64))
    helper.set_model_props(proto, {"labels": "cat,dog"})
    report = compressed(tmp_path, proto)
    written = load_model(report.path)
    properties = {entry.key: entry.value for entry in written.metadata_props}
    assert properties["labels"] == "cat,dog"
    assert json.loads(properties["n2nsurgery"])["source"]["threshold"] is None
    assert written.graph.input[0].type == proto.graph.input[0].type


def test_no_weight_changes_without_a_threshold_and_small_ones_vanish_with_it(tmp_path: Path) -> None:
    nearly = np.where(W == 0, np.float32(1e-4), W)
    proto = model(matmul(), {"w": nearly, "b": B}, ("N", 64))
    with pytest.raises(UsageError, match=r"gains nothing, so no file was written: all 1 weights stay dense \(1 "):
        compressed(tmp_path, proto)
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]
    report = compressed(tmp_path, proto, threshold=1e-3)
    assert report.weights[0].nnz == np.count_nonzero(np.abs(W) >= 1e-3)
    said = {line.subject: line.difference for line in report.parity}
    assert 0 < said["the original without weights below 0.001"] < 0.01


@pytest.mark.parametrize("values", ["fp16", "int8"])
def test_values_can_be_rounded_as_in_an_export(values: str, tmp_path: Path) -> None:
    report = compressed(tmp_path, model([conv("w")], {"w": sparse(32, 16, 3, 3)}), values=values)
    assert report.weights[0].values == values
    assert report.identical


def test_the_inlined_form_holds_standard_operators_alone(tmp_path: Path) -> None:
    report = compressed(tmp_path, model([conv("w")], {"w": sparse(32, 16, 3, 3)}), format="inlined")
    written = load_model(report.path)
    assert not written.functions
    assert DOMAIN not in {entry.domain for entry in written.opset_import}


def test_sizes_that_are_open_can_be_given(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "to"], ["r"]),
        *matmul("r"),
    ]
    proto = model(nodes, {"to": np.array([-1, 64]), "w": W, "b": B}, ("N", "length"))
    report = compressed(tmp_path, proto, input_shapes={"x": "3x128"})
    assert {line.batch for line in report.parity} == {3}
    with pytest.raises(UnknownNameError, match="image"):
        compressed(tmp_path, proto, input_shapes={"image": "1x3"})


def test_a_file_that_does_not_run_with_chosen_sizes_is_told_how_to_give_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not run with x=1x16: .*Say the shape of each input") as caught:
        compressed(tmp_path, model(matmul(), {"w": W, "b": B}, ("N", "features")))
    assert caught.value.field == "input_shapes"


def test_a_file_that_computes_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="computes no finite number"):
        compressed(tmp_path, model(matmul(), {"w": W, "b": B * np.nan}, ("N", 64)))


def test_a_file_of_ours_and_an_operator_set_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    report = compressed(tmp_path, model(matmul(), {"w": W, "b": B}, ("N", 64)))
    with pytest.raises(UsageError, match="was written by n2nsurgery"):
        compress_file(report.path, tmp_path / "again.onnx")
    odd = model([helper.make_node("NotStandard", ["x"], ["y"])], {}, opset=9)
    with pytest.raises(UsageError, match=r"operator set 9, which ONNX cannot convert to 13 .*: export it again"):
        compressed(tmp_path, odd)


def test_weights_outside_of_the_file_are_read_and_small_ones_written_inside(tmp_path: Path) -> None:
    proto = model([conv("w")], {"w": sparse(32, 16, 3, 3)})
    onnx.save(proto, tmp_path / "in.onnx", save_as_external_data=True, location="in.data", size_threshold=0)
    report = compress_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert report.external_data is None
    assert report.source_size > 32 * 16 * 9 * 4


def test_what_is_too_large_for_one_file_stays_in_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "INLINE_LIMIT", 1000)  # of protobuf's two gigabytes
    proto = model([conv("w")], {"w": sparse(32, 16, 3, 3)})
    onnx.save(proto, tmp_path / "in.onnx", save_as_external_data=True, location="in.data", size_threshold=0)
    report = compress_file(tmp_path / "in.onnx", tmp_path / "out.onnx", libraries=sparse_runtime())
    assert report.external_data == tmp_path / "out.onnx.data"
    assert report.size == sum(path.stat().st_size for path in tmp_path.glob("out.onnx*"))
    assert report.identical
    assert inspect_file(report.path).disagreements == ()
    assert verify_file(report.path, sample_noise(report.path), libraries=sparse_runtime()).weights == 1


def test_the_file_is_proven_in_the_sparse_runtime_too(tmp_path: Path) -> None:
    libraries = sparse_runtime()
    if not libraries:
        pytest.skip("the sparse runtime is not built")
    onnx.save(model([conv("w", pads=[1, 1, 1, 1])], {"w": sparse(32, 16, 3, 3)}), tmp_path / "in.onnx")
    report = compress_file(tmp_path / "in.onnx", tmp_path / "out.onnx", libraries=libraries)
    assert report.parity[-1].subject == "the file in the sparse runtime"
    assert report.parity[-1].difference < 1e-6  # a few float32 roundings
