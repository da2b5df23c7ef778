"""Transposed convolutions in the portable form: stored as they are, computed by their sparse operator."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from torch import nn

from n2nsurgery import runtime
from n2nsurgery.export.channels.network import channel_network_of_onnx
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.export.exporter import export_module
from n2nsurgery.export.formats import apply_form
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.export.proof.verify_file import verify_file
from n2nsurgery.export.sparse.layer_race import race_with
from n2nsurgery.export.sparse.weight_coding import codings, rounded

RANDOM = np.random.default_rng(0)


def sparse(*shape: int, density: float = 0.1) -> np.ndarray:
    return (RANDOM.standard_normal(shape) * (RANDOM.random(shape) < density)).astype(np.float32)


def model(nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray], source: tuple[int, ...]) -> onnx.ModelProto:
    """A model from `x` to `y`, shapes of everything between them inferred."""
    values = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", *source]),
        helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None),
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.shape_inference.infer_shapes(proto, strict_mode=True)


def same_bits_in_stock_onnx_runtime(proto: onnx.ModelProto, values: str = "fp32") -> list[str]:
    """Operators of the portable form, which gives the bits of the dense one with the same rounded weights."""
    graph = ir.from_proto(proto)
    decided = tuple(codings(graph.graph, values, lambda _match, _coded: 2.0))
    rounded(decided)
    dense = ir.to_proto(graph)
    portable = ir.to_proto(apply_form(graph, "portable", decided))
    onnx.checker.check_model(portable, full_check=True)
    source = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim[1:]]
    x = RANDOM.standard_normal((2, *source)).astype(np.float32)
    answers = [
        onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
        for file in (dense, portable)
    ]
    assert np.array_equal(answers[0][0], answers[1][0])
    return [node.op_type for node in portable.graph.node]


@settings(max_examples=8)
@given(
    rank=st.integers(1, 3),
    groups=st.sampled_from([1, 2]),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    more=st.integers(0, 2),
    pads=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    bias=st.booleans(),
)
def test_every_geometry_is_kept(*, rank, groups, stride, dilation, more, pads, bias):
    tensors = {"w": sparse(32, 40 // groups, *(2,) * rank)} | ({"b": sparse(40, density=1)} if bias else {})
    node = helper.make_node(
        "ConvTranspose", ["x", *tensors], ["y"], group=groups, strides=[stride] * rank, dilations=[dilation] * rank,
        pads=pads[: 2 * rank], output_padding=[min(more, stride - 1)] * rank,  # ONNX Runtime runs no larger one
    )  # fmt: skip
    assert same_bits_in_stock_onnx_runtime(model([node], tensors, (32, *(6,) * rank))) == ["SparseConvTranspose"]


@pytest.mark.parametrize("values", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("density", [0.05, 0.25], ids=["gaps", "bits"])
def test_every_code_and_an_activation_are_kept(values, density):
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["c"], strides=[2, 2]),
        helper.make_node("LeakyRelu", ["c"], ["y"], alpha=0.2),
    ]
    proto = model(nodes, {"w": sparse(32, 24, 2, 2, density=density)}, (32, 5, 7))
    found = same_bits_in_stock_onnx_runtime(proto, values)
    assert found == [f"SparseConvTransposeLeakyRelu{'Bits' * (density > 0.2)}{'Int8' * (values == 'int8')}"]


def test_a_sum_stays_a_node_of_its_own():
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Add", ["c", "x"], ["y"]),
    ]
    found = same_bits_in_stock_onnx_runtime(model(nodes, {"w": sparse(16, 16, 3, 3)}, (16, 8, 8)))
    assert found == ["SparseConvTranspose", "Add"]


def decoder() -> tuple[nn.Sequential, dict[str, torch.Tensor]]:
    """A convolution and both frequent ways back to the input's size; one weight of ten kept."""
    network = nn.Sequential(
        nn.Conv2d(4, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 24, 2, 2), nn.BatchNorm2d(24), nn.ReLU(), nn.ConvTranspose2d(24, 16, 4, 2, 1),
    ).eval()  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    masks = {}
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(generator=generator)
            masks[name] = torch.rand(parameter.shape, generator=generator) < 0.1
            parameter.data.mul_(masks[name])
    return network, masks


def libraries() -> list:
    try:
        return [runtime.library_path()]
    except runtime.LibraryNotBuiltError:
        return []  # without it the file is proven in stock ONNX Runtime alone


def test_a_network_is_proven_read_and_verified(tmp_path):
    network, masks = decoder()
    x = torch.randn(2, 4, 16, 12, generator=torch.Generator().manual_seed(1))
    path = tmp_path / "decoder.onnx"
    report = export_module(
        network, (x,), ("x",), path=path, metadata={}, masks=masks, libraries=libraries(),
        config=ExportConfig(compact=True),
    )  # fmt: skip
    assert report.identical
    assert [node.op_type for node in onnx.load(path).graph.node] == [
        "SparseConvRelu", "SparseConvTransposeRelu", "SparseConvTranspose",
    ]  # fmt: skip
    assert not inspect_file(path).disagreements
    verify_file(path, [[x]], libraries=libraries())


def test_channels_are_the_same_in_every_form(tmp_path):
    network, masks = decoder()
    found = []
    for form in ("portable", "dense"):
        path = tmp_path / f"{form}.onnx"
        example = (torch.zeros(1, 4, 16, 12),)
        export_module(network, example, ("x",), path=path, metadata={}, masks=masks, config=ExportConfig(format=form))
        found.append(channel_network_of_onnx(path).flow)
    assert [call.weight for call in found[0].calls] == [call.weight for call in found[1].calls]
    assert len(found[0].calls) == 3


def test_a_layer_is_measured_alone():
    available = libraries()
    if not available:
        pytest.skip("the sparse runtime is not built")
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    proto = model([node], {"w": sparse(32, 24, 2, 2, density=0.05)}, (32, 8, 8))
    (coding,) = codings(ir.from_proto(proto).graph, "fp32", race_with(available))
    assert coding.record.measured is not None
