"""Packed values: the same bits in ONNX Runtime, in a smaller file that every command reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from n2nsurgery.core.errors import InvalidFileError, UsageError, VerificationError
from n2nsurgery.export.channels.network import channel_network_of_onnx
from n2nsurgery.export.codec.packed import OVERHEAD, PackedFloats, pack, unpack
from n2nsurgery.export.compress.compressor import compress_file
from n2nsurgery.export.compress.config import CompressConfig
from n2nsurgery.export.compress.report import CompressReport
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.export.proof.verify_file import sample_noise, verify_file
from n2nsurgery.export.sparse.operators import DOMAIN, VERSION
from n2nsurgery.export.sparse.stored_weights import tensors_of, weight
from n2nsurgery.export.sparse.unpacking import PACKED_TENSORS, UNPACK_FLOATS, unpacking_function
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime

RANDOM = np.random.default_rng(0)


def sparse(*shape: int, density: float) -> NDArray[np.float32]:
    return (RANDOM.standard_normal(shape) * (RANDOM.random(shape) < density)).astype(np.float32)


def compressed(folder: Path, density: float = 0.1, opset: int = 18, **options: object) -> CompressReport:
    """A convolution and a linear layer with these zeros, between them one that is decoded, compressed."""
    tensors = {
        "a.weight": sparse(64, 32, 3, 3, density=density),
        "b.weight": sparse(64, 4, 15, 15, density=density),
        "c.weight": sparse(40, 64, density=density),
        "c.bias": sparse(40, density=1),
    }
    nodes = [
        helper.make_node("Conv", ["x", "a.weight"], ["p"]),
        helper.make_node("Relu", ["p"], ["q"]),
        helper.make_node("Conv", ["q", "b.weight"], ["r"], group=16, pads=[7] * 4),
        helper.make_node("GlobalAveragePool", ["r"], ["s"]),
        helper.make_node("Flatten", ["s"], ["t"]),
        helper.make_node("Gemm", ["t", "c.weight", "c.bias"], ["y"], transB=1),
    ]
    values = [helper.make_tensor_value_info(n, 1, ["n", *s]) for n, s in (("x", (32, 10, 10)), ("y", (40,)))]
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    folder.mkdir(exist_ok=True)
    onnx.save(proto, folder / "in.onnx")
    return compress_file(
        folder / "in.onnx", folder / "out.onnx", config=CompressConfig(**options), libraries=sparse_runtime()
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("density", [0.05, 0.3], ids=["gaps", "bits"])
def test_stock_onnx_runtime_and_the_library_compute_the_same_as_before(
    tmp_path: Path, density: float, opset: int
) -> None:
    report = compressed(tmp_path, density, opset, packed=True)
    assert report.identical  # to the bit of the dense form; the sparse runtime is compared besides
    assert [record.packed for record in report.weights] == [True, True, False]  # the last has few weights
    assert [node.op_type for node in load_model(report.path).graph.node].count(UNPACK_FLOATS) == 2


@pytest.mark.parametrize("form", ["portable", "inlined"])
def test_the_file_is_smaller_and_every_weight_is_read_back(tmp_path: Path, form: str) -> None:
    report = compressed(tmp_path, packed=True, format=form)
    original = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "in.onnx").graph.initializer}
    tensors = tensors_of(load_model(report.path))
    for record in report.weights:
        assert np.array_equal(weight(record, tensors), original[record.name])
    assert inspect_file(report.path).disagreements == ()
    assert verify_file(report.path, sample_noise(report.path)).weights == 3
    large = report.weights[0]
    assert large.nnz * 4.4 < large.bytes < large.nnz * 4.5  # five bytes without packing


@pytest.mark.parametrize("form", ["portable", "inlined"])
def test_the_channels_of_a_packed_file_are_those_of_its_original(tmp_path: Path, form: str) -> None:
    report = compressed(tmp_path, packed=True, format=form)
    original = channel_network_of_onnx(tmp_path / "in.onnx")
    found = channel_network_of_onnx(report.path)
    assert found.weights.keys() == original.weights.keys()
    assert all(np.array_equal(array, original.weights[name]) for name, array in found.weights.items())


def test_a_damaged_list_is_found_by_inspect(tmp_path: Path) -> None:
    report = compressed(tmp_path, packed=True)
    model = onnx.load(report.path)
    rare = next(tensor for tensor in model.graph.initializer if tensor.name == "a.weight.rare")
    rare.CopyFrom(numpy_helper.from_array(np.zeros(1, np.uint8), rare.name))
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(VerificationError, match=r"the values of 'a.weight' are damaged: .* of a list of 1"):
        inspect_file(tmp_path / "damaged.onnx")


def good() -> PackedFloats:
    packed = pack(RANDOM.standard_normal(3001).astype(np.float32))
    assert packed is not None
    return packed


@pytest.mark.parametrize("name", PACKED_TENSORS)
@pytest.mark.parametrize("wrong", [lambda a: a[..., :-3], lambda a: a.astype(np.int8), lambda a: a[None]])
def test_tensors_that_are_no_packed_floats_are_refused(name: str, wrong) -> None:  # type: ignore[no-untyped-def]
    packed = good()
    with pytest.raises(InvalidFileError, match="packed floats"):
        unpack(dataclasses.replace(packed, **{name: wrong(getattr(packed, name))}))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -0.0, 1e-40])
def test_what_has_no_packed_form_stays_as_it_is(odd: float) -> None:
    values = RANDOM.standard_normal(5000).astype(np.float32)
    assert pack(values) is not None
    values[17] = odd
    assert pack(values) is None


def test_few_values_are_not_packed_for_they_would_need_more() -> None:
    values = RANDOM.standard_normal(5000).astype(np.float32)
    packed = pack(values)
    assert packed is not None
    assert packed.nbytes + OVERHEAD < values.nbytes
    assert pack(values[:700]) is None


@pytest.mark.parametrize("options", [{"values": "fp16"}, {"format": "dense"}])
def test_only_values_in_fp32_are_packed(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="packed is for coded weights in fp32"):
        ExportConfig(packed=True, **options)  # type: ignore[arg-type]
    if "values" in options:
        with pytest.raises(UsageError, match="packed is for values in fp32, not fp16"):
            CompressConfig(packed=True, values="fp16")


def test_every_exponent_and_both_signs_come_back_from_the_function_in_onnx_runtime() -> None:
    words = RANDOM.integers(0, 2**23, 254 * 60, np.uint32) | np.repeat(np.arange(1, 255, dtype=np.uint32), 60) << 23
    words[::2] |= 1 << 31
    packed = pack(np.concatenate([words, np.resize(words[-120:], 20_000)]).view(np.float32))  # the largest are common
    assert packed is not None
    names = list(PACKED_TENSORS)
    tensors = [numpy_helper.from_array(getattr(packed, name), name) for name in names]
    node = helper.make_node(UNPACK_FLOATS, names, ["values"], domain=DOMAIN)
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("values", 1, [None])], tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    function = ir.to_proto(unpacking_function(18))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=[function])
    for level in (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        opened = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = opened.run(None, {})[0]
        assert np.array_equal(found[: len(words)].view(np.uint32), words)
