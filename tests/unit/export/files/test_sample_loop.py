"""A batch computed sample by sample: the same numbers, and a file that every command reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.export.compress.compressor import compress_file
from n2nsurgery.export.compress.config import CompressConfig
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.export.exporter import export_module
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.files.sample_loop import LOOP, in_loop, without_loop
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.export.proof.parity import file_outputs
from n2nsurgery.export.proof.verify_file import verify_file
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime

X = (torch.linspace(-1, 1, 3 * 8 * 6 * 6).reshape(3, 8, 6, 6), torch.linspace(0, 1, 3 * 32).reshape(3, 32))


class TwoHeads(nn.Module):
    """A residual block of 5 % of its weights over one input, a second input beside it, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.body = nn.Conv2d(8, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
        for layer in (self.stem, self.body):
            layer.weight.data *= torch.rand_like(layer.weight) < 0.05

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 8, 6, 6) and (N, 32) -> (N, 32) and (N, 32, 6, 6)."""
        a = torch.relu(self.stem(x))
        b = torch.relu(self.body(a) + a)
        return b.mean((2, 3)) + y, b


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One network exported with the loop and without it."""
    folder = tmp_path_factory.mktemp("loop")
    looped, plain = (
        export_module(
            TwoHeads().eval(), X, ["x", "y"], path=folder / f"{loop}.onnx", metadata={}, libraries=sparse_runtime(),
            config=ExportConfig(sample_loop=loop),
        ).path
        for loop in (True, False)
    )  # fmt: skip
    return looped, plain


def test_computes_the_same_bits_for_any_batch(pair: tuple[Path, Path]) -> None:
    assert [node.op_type for node in onnx.load(pair[0]).graph.node] == ["Scan"]
    batches = [[tensor[:size] for tensor in X] for size in (1, 2, 3)]
    for libraries in ((), sparse_runtime()):
        looped, plain = (file_outputs(path, batches, libraries) for path in pair)
        for one, other in zip(looped, plain, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_command_reads_what_is_in_the_loop(pair: tuple[Path, Path]) -> None:
    looped, plain = (inspect_file(path) for path in pair)
    assert (looped.weights, looped.recounted, looped.nodes) == (plain.weights, plain.recounted, plain.nodes)
    assert (looped.document or {})["deployment"]["sample_loop"] is True
    found = verify_file(pair[0], [[tensor[:2] for tensor in X]], libraries=sparse_runtime())
    assert found.weights == len(plain.weights)
    assert load_model(pair[0]).graph == load_model(pair[1]).graph


def test_a_loop_is_undone_with_values_that_inner_graphs_read() -> None:
    branches = {
        name: helper.make_graph(
            [helper.make_node("Mul", ["x", factor], [f"{name}.r"])], name, [],
            [helper.make_tensor_value_info(f"{name}.r", TensorProto.FLOAT, None)],
        )
        for name, factor in (("then_branch", "two"), ("else_branch", "x"))
    }  # fmt: skip
    model = _model([helper.make_node("If", ["yes"], ["y"], **branches)], ["n", 4], ["n", 4])
    looped = in_loop(model)
    assert without_loop(looped) == model != looped
    onnx.checker.check_model(looped, full_check=True)


def test_another_scan_stays_as_it_is() -> None:
    model = in_loop(_model([helper.make_node("Mul", ["x", "two"], ["y"])], ["n", 4], ["n", 4]))
    body = next(attribute.g for attribute in model.graph.node[0].attribute if attribute.name == "body")
    assert body.name == LOOP
    del body.node[0]
    assert without_loop(model) is model


@pytest.mark.parametrize(("x", "y"), [((2, 4), (2, 4)), (("n", 4), (4,)), ((4,), (4,))])
def test_needs_a_batch_everywhere(x: tuple[str | int, ...], y: tuple[str | int, ...]) -> None:
    with pytest.raises(UsageError, match="sample_loop needs a dynamic batch as the first dimension"):
        in_loop(_model([helper.make_node("Mul", ["x", "two"], ["y"])], x, y))


def test_the_batch_of_an_output_may_have_another_name(tmp_path: Path) -> None:
    looped = in_loop(_model([helper.make_node("Mul", ["x", "two"], ["y"])], ["n", 4], ["Mul2_dim_0", 4]))
    onnx.checker.check_model(looped, full_check=True)
    onnx.save(looped, tmp_path / "m.onnx")
    ((y,),) = file_outputs(tmp_path / "m.onnx", [[torch.ones(3, 4)]])
    np.testing.assert_array_equal(y, np.full((3, 4), 2))


def test_compress_puts_a_file_into_a_loop(tmp_path: Path) -> None:
    weight = np.zeros((64, 64), np.float32)
    weight[:, 5] = 1.5
    model = _model([helper.make_node("MatMul", ["x", "w"], ["y"])], ["n", 64], ["n", 64])
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "in.onnx")
    report = compress_file(
        tmp_path / "in.onnx", tmp_path / "out.onnx", config=CompressConfig(sample_loop=True), libraries=sparse_runtime()
    )
    assert [node.name for node in onnx.load(report.path).graph.node] == [LOOP]
    assert {line.batch for line in report.parity} == {1, 2}


def _model(nodes: list[onnx.NodeProto], x: object, y: object) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", x), ("y", y))]
    constants = [numpy_helper.from_array(np.float32(2), "two"), numpy_helper.from_array(np.array(True), "yes")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
