"""Every form of a file: small, equal, and honest about what it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.export.codec.coded import CodedWeight
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.export.formats import apply_form
from n2nsurgery.export.sparse.fusion_matches import FusionMatch
from n2nsurgery.export.sparse.operators import DOMAIN
from n2nsurgery.export.sparse.weight_coding import Race, codings, rounded

RANDOM = np.random.default_rng(0)


def sparse(*shape: int, density: float = 0.1) -> np.ndarray:
    return (RANDOM.standard_normal(shape) * (RANDOM.random(shape) < density)).astype(np.float32)


def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *shape])


def model(nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray], source: tuple, target: tuple) -> onnx.ModelProto:
    """A model from `x` to `y`, shapes of everything between them inferred."""
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", [value("x", *source)], [value("y", *target)], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(proto, strict_mode=True)


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    opened = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return opened.run(None, {"x": x})[0]


def always_faster(_match: FusionMatch, _coded: CodedWeight) -> float:
    """A race that sparse wins, for tests of what is written and not of when."""
    return 2.0


def written(
    proto: onnx.ModelProto, form: str = "portable", values: str = "fp32", race: Race | None = None
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """(the model in its form, the dense form with the same rounded weights), both accepted by ONNX's checker."""
    graph = ir.from_proto(proto)
    decided = tuple(codings(graph.graph, values, race))
    rounded(decided)
    dense = ir.to_proto(graph)
    result = ir.to_proto(apply_form(graph, form, decided))
    onnx.checker.check_model(result, full_check=True)
    return result, dense


def operators(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def residual_block() -> onnx.ModelProto:
    """conv-relu-conv-add-relu, the sum's second operand being the convolution."""
    tensors = {"a.weight": sparse(16, 16, 3, 3), "a.bias": sparse(16, density=1), "b.weight": sparse(16, 16, 3, 3)}
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Conv", ["r", "a.weight", "a.bias"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "b.weight"], ["e"], pads=[1] * 4),
        helper.make_node("Add", ["r", "e"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    return model(nodes, tensors, (16, 8, 8), (16, 8, 8))


IMAGE = RANDOM.standard_normal((2, 16, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("values", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("density", [0.05, 0.25], ids=["gaps", "bits"])
def test_stock_onnx_runtime_computes_the_same_bits(density, values):
    tensors = {"w": sparse(16, 16, 3, 3, density=density), "v": sparse(32, 16 * 36, density=density)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["f"]),
        helper.make_node("Gemm", ["f", "v"], ["y"], transB=1),
    ]
    portable, dense = written(model(nodes, tensors, (16, 8, 8), (32,)), values=values, race=always_faster)
    suffix = ("Bits" if density > 0.2 else "") + ("Int8" if values == "int8" else "")
    assert operators(portable) == [f"SparseConvRelu{suffix}", "Flatten", f"SparseGemm{suffix}"]
    for batch in (1, 2):
        assert np.array_equal(run(portable, IMAGE[:batch]), run(dense, IMAGE[:batch]))


def test_bias_sum_and_relu_join_the_product():
    portable, dense = written(residual_block())
    assert operators(portable) == ["Relu", "SparseConvRelu", "SparseConvAddRelu"]
    assert np.array_equal(run(portable, IMAGE), run(dense, IMAGE))


def test_of_two_summed_convolutions_the_first_takes_the_sum():
    tensors = {"a": sparse(16, 16, 3, 3), "b": sparse(16, 16, 3, 3)}
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"]),
        helper.make_node("Conv", ["x", "b"], ["d"]),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    portable, dense = written(model(nodes, tensors, (16, 8, 8), (16, 6, 6)))
    assert operators(portable) == ["SparseConv", "SparseConvAdd"]
    first, fused = portable.graph.node
    assert (first.input[1], fused.input[1]) == ("b.gaps", "a.gaps")
    assert np.array_equal(run(portable, IMAGE), run(dense, IMAGE))


def test_a_value_that_is_read_twice_is_not_fused_away():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    portable, dense = written(model(nodes, {"w": sparse(16, 16, 3, 3)}, (16, 8, 8), (16, 6, 6)))
    assert operators(portable) == ["SparseConv", "Relu", "Add"]
    assert np.array_equal(run(portable, IMAGE), run(dense, IMAGE))


def test_a_sum_that_broadcasts_is_not_fused():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Add", ["c", "p"], ["y"]),
    ]
    portable, _ = written(model(nodes, {"w": sparse(16, 16, 3, 3)}, (16, 8, 8), (16, 6, 6)))
    assert operators(portable) == ["SparseConv", "GlobalAveragePool", "Add"]


@pytest.mark.parametrize("bias", [False, True])
def test_a_matmul_on_tokens_keeps_its_rank_and_its_bits(bias):
    tensors = {"p.weight.T": sparse(64, 48), "p.bias": sparse(48, density=1)}
    nodes = [helper.make_node("MatMul", ["x", "p.weight.T"], ["y" if not bias else "m"])]
    nodes += [helper.make_node("Add", ["m", "p.bias"], ["y"])] if bias else []
    portable, dense = written(model(nodes, tensors, (7, 64), (7, 48)), race=always_faster)
    (node,) = portable.graph.node
    assert (node.op_type, node.overload) == ("SparseLinear" if bias else "SparseMatMul", "")
    assert node.input[1] == "p.weight.gaps"
    x = RANDOM.standard_normal((2, 7, 64)).astype(np.float32)
    assert np.array_equal(run(portable, x), run(dense, x))


def test_one_model_holds_both_kinds_of_linear_layers():
    tensors = {"p.weight.T": sparse(64, 48), "h.weight": sparse(40, 7 * 48)}
    nodes = [
        helper.make_node("MatMul", ["x", "p.weight.T"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("Gemm", ["f", "h.weight"], ["y"], transB=1),
    ]
    portable, dense = written(model(nodes, tensors, (7, 64), (40,)), race=always_faster)
    assert len(portable.functions) == 2
    x = RANDOM.standard_normal((2, 7, 64)).astype(np.float32)
    assert np.array_equal(run(portable, x), run(dense, x))


@pytest.mark.parametrize(
    ("operator", "shape", "attributes", "source", "target"),
    [
        ("ConvTranspose", (16, 16, 3, 3), {"output_shape": [10, 10]}, (16, 8, 8), (16, 10, 10)),
        ("Conv", (160, 1, 3, 3), {"group": 160}, (160, 8, 8), (160, 6, 6)),
        ("Conv", (16, 16, 3, 3), {"auto_pad": "SAME_UPPER"}, (16, 8, 8), (16, 8, 8)),
    ],
    ids=["transposed to a stated size", "depthwise", "auto_pad"],
)
def test_what_has_no_kernel_is_stored_small_and_computed_densely(operator, shape, attributes, source, target):
    node = helper.make_node(operator, ["x", "w"], ["y"], **attributes)
    proto = model([node], {"w": sparse(*shape)}, source, target)
    portable, dense = written(proto)
    assert operators(portable) == ["Decode", operator]
    (coding,) = codings(ir.from_proto(proto).graph, "fp32")
    assert coding.record.computed == "dense"
    assert coding.record.reason
    x = RANDOM.standard_normal((2, *source)).astype(np.float32)
    assert np.array_equal(run(portable, x), run(dense, x))


def test_a_dense_layer_is_decoded_and_a_turned_one_turned_back():
    node = helper.make_node("MatMul", ["x", "p.weight.T"], ["y"])
    portable, dense = written(model([node], {"p.weight.T": sparse(64, 48, density=0.6)}, (64,), (48,)))
    assert operators(portable) == ["DecodeBits", "Transpose", "MatMul"]
    x = RANDOM.standard_normal((3, 64)).astype(np.float32)
    assert np.array_equal(run(portable, x), run(dense, x))


def test_a_weight_of_two_layers_is_stored_once():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Conv", ["c", "w"], ["y"], strides=[2, 2]),
    ]
    portable, dense = written(model(nodes, {"w": sparse(16, 16, 3, 3)}, (16, 8, 8), (16, 3, 3)))
    assert operators(portable) == ["SparseConv", "SparseConv"]
    assert [t.name for t in portable.graph.initializer].count("w.gaps") == 1
    assert np.array_equal(run(portable, IMAGE), run(dense, IMAGE))


def test_a_weight_of_layers_of_different_kinds_is_decoded():
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["g"], transB=1),
        helper.make_node("MatMul", ["g", "w"], ["y"]),
    ]
    portable, dense = written(model(nodes, {"w": sparse(48, 48)}, (48,), (48,)))
    assert "SparseGemm" not in operators(portable)
    x = RANDOM.standard_normal((3, 48)).astype(np.float32)
    assert np.array_equal(run(portable, x), run(dense, x))


def test_an_inlined_file_needs_no_functions():
    inlined, dense = written(residual_block(), form="inlined")
    assert not inlined.functions
    assert {node.domain for node in inlined.graph.node} == {""}
    assert DOMAIN not in {entry.domain for entry in inlined.opset_import}
    assert {"a.weight.gaps", "a.weight.values"} <= {tensor.name for tensor in inlined.graph.initializer}
    assert np.array_equal(run(inlined, IMAGE), run(dense, IMAGE))


@settings(max_examples=8)
@given(
    rank=st.integers(1, 3),
    groups=st.sampled_from([1, 2]),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    pads=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    relu=st.booleans(),
)
def test_every_geometry_of_a_convolution_is_kept(*, rank, groups, stride, dilation, pads, relu):
    weight = sparse(32, 32 // groups, *(3,) * rank, density=0.08)
    nodes = [
        helper.make_node(
            "Conv", ["x", "w"], ["c" if relu else "y"], group=groups, strides=[stride] * rank,
            dilations=[dilation] * rank, pads=pads[: 2 * rank],
        )
    ]  # fmt: skip
    nodes += [helper.make_node("Relu", ["c"], ["y"])] if relu else []
    portable, dense = written(model(nodes, {"w": weight}, (32, *(6,) * rank), (32, *(None,) * rank)))
    assert operators(portable) == ["SparseConv" + "Relu" * relu]
    x = RANDOM.standard_normal((2, 32, *(6,) * rank)).astype(np.float32)
    assert np.array_equal(run(portable, x), run(dense, x))


def test_an_empty_weight_is_one_entry_that_adds_nothing():
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    portable, dense = written(model([node], {"w": sparse(16, 16, 3, 3, density=0)}, (16, 8, 8), (16, 6, 6)))
    assert [list(t.dims) for t in portable.graph.initializer if t.name == "w.gaps"] == [[1]]
    assert np.array_equal(run(portable, IMAGE), run(dense, IMAGE))


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (sparse(8, 8, 1, 1), "fewer than 1024"),
        (sparse(16, 16, 3, 3, density=1), "dense is smallest"),
        (sparse(16, 16, 3, 3).astype(np.float64), "only float32"),
        (np.where(sparse(16, 16, 3, 3) > 0, np.float32(np.inf), 0).astype(np.float32), "not finite"),
    ],
)
def test_what_stays_dense_says_why(tensor, reason):
    kind = helper.np_dtype_to_tensor_dtype(tensor.dtype)
    channels = tensor.shape[1]
    values = [helper.make_tensor_value_info(name, kind, ["batch", channels, 8, 8]) for name in "x"]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])], "g", values,
        [helper.make_tensor_value_info("y", kind, None)], [numpy_helper.from_array(tensor, "w")],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (coding,) = codings(ir.from_proto(proto).graph, "fp32")
    assert coding.coded is None
    assert reason in coding.record.reason


def decision(weight: np.ndarray, size: int, **attributes: int) -> tuple[str, str]:
    """The code of a convolution's weight over images of this size, and how it is computed."""
    channels = weight.shape[1] * attributes.get("group", 1)
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    (coding,) = codings(ir.from_proto(model([node], {"w": weight}, (channels, size, size), (None,) * 3)).graph, "fp32")
    return coding.record.code, coding.record.computed


def test_a_small_weight_of_a_convolution_over_a_large_image_is_computed_sparsely():
    small = sparse(32, 3, 3, 3, density=0.05)
    assert decision(small, 224, strides=[2, 2]) == ("gaps8", "sparse")
    assert decision(small, 20) == ("dense", "dense")
    assert decision(sparse(32, 3, 3, 3, density=0.6), 224) == ("dense", "dense")
    assert decision(sparse(32, 1, 3, 3, density=0.05), 224, group=32) == ("dense", "dense")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"format": "compact"}, UnknownNameError),
        ({"values": "int4"}, UnknownNameError),
        ({"format": "dense", "values": "fp16"}, UsageError),
    ],
)
def test_a_format_that_no_file_has_is_refused(options, error):
    with pytest.raises(error):
        ExportConfig(**options)


def test_external_tools_keep_the_file(tmp_path: Path):
    portable, _ = written(residual_block())
    ir.save(ir.from_proto(portable), tmp_path / "again.onnx")
    assert np.array_equal(run(onnx.load(tmp_path / "again.onnx"), IMAGE), run(portable, IMAGE))
