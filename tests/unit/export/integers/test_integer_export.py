"""Export with calibration: the file's integer layers, its results in two runtimes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import n2nsurgery
from n2nsurgery.core.errors import UsageError
from n2nsurgery.export.integers.layers import block_fill
from n2nsurgery.export.integers.levels import levels_of
from n2nsurgery.export.ort.providers import session
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.export.proof.report import ExportReport
from n2nsurgery.export.proof.verify_file import sample_noise, verify_file
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime

KEPT = 0.2
X = torch.randn((12, 3, 24, 20), generator=torch.Generator().manual_seed(1))


class Network(nn.Module):
    """A dense stem, pools, a residual, layers of several kinds, and a head over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.first = nn.Conv2d(32, 32, 3, padding=1, stride=2)
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.third = nn.Conv2d(32, 64, 1)
        self.short = nn.Conv2d(32, 64, 1)
        self.last = nn.Conv2d(64, 64, 3, padding=2, dilation=2, groups=2)
        self.tokens = nn.Linear(64, 64)
        self.head = nn.Linear(64, 40)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 40)."""
        x = torch.max_pool2d(torch.relu(self.stem(x)), 2)
        a = torch.relu(self.first(x))
        b = torch.max_pool2d(nn.functional.relu6(self.second(a)), 3, 1, 1)
        c = torch.relu(self.third(b) + self.short(a))
        d = torch.nn.functional.silu(self.last(c)) + c
        return self.head(self.tokens(d.flatten(2).mT).mean(1))


def network(*, blocks: bool = True) -> Network:
    """The network in eval mode with random weights; a block of four inputs, or each weight, is kept with KEPT."""
    torch.manual_seed(0)
    made = Network().eval()
    with torch.no_grad():
        for layer in (made.first, made.second, made.third, made.short, made.last, made.tokens):
            shape = layer.weight.shape
            if blocks:
                kept = (torch.rand(shape[0], shape[1] // 4, *shape[2:]) < KEPT).repeat_interleave(4, 1)
            else:
                kept = torch.rand(shape) < KEPT / 4
            kept[3] = False  # an output without weights
            layer.weight.mul_(kept)
    return made


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, ExportReport]:
    """The network and the report on its file, calibrated in two batches."""
    module, path = network(), tmp_path_factory.mktemp("integers") / "net.onnx"
    report = n2nsurgery.export_onnx(module, path, example_inputs=X[:2], values="int8", calibration=[X[:8], X[8:]])
    return module, report


def nodes(path: Path) -> list[onnx.NodeProto]:
    return list(onnx.load(str(path)).graph.node)


def test_layers_with_blocks_compute_with_integers_and_the_others_say_why_not(exported):
    reasons = {record.name: record.reason for record in exported[1].weights if record.arithmetic == "floats"}
    integers = {record.name for record in exported[1].weights if record.arithmetic == "integers"}
    assert integers == {f"{name}.weight" for name in ("first", "second", "third", "short", "tokens")}
    assert "its activation is Silu; integer kernels have only those that clamp" in reasons["last.weight"]
    assert "fewer than 1024" in reasons["stem.weight"]
    found = [node.op_type.removesuffix("Bits") for node in nodes(exported[1].path)]
    assert (found.count("SparseQLinearConv"), found.count("SparseQLinearConvAdd")) == (3, 1)
    assert found.count("SparseQLinearMatMul") == 1


def test_levels_pass_from_one_integer_layer_to_the_next_and_through_a_pool(exported):
    producers = {output: node for node in nodes(exported[1].path) for output in node.output}
    sources = {}
    for node in producers.values():
        if node.op_type.startswith("SparseQLinear"):
            source = producers[node.input[0]]
            sources[node.name] = producers[source.input[0]].op_type if source.op_type == "MaxPool" else source.op_type
    made = [name for name, op in sources.items() if op == "QuantizeLinear"]
    assert len(made) == 2, sources  # behind the stem, and before the tokens
    assert all(op.startswith("SparseQLinearConv") for name, op in sources.items() if name not in made)


def test_levels_are_packed_where_integer_convolutions_alone_give_and_read_them(exported):
    found = {
        node.name: {a.name: list(a.ints) for a in node.attribute}["packed"]
        for node in nodes(exported[1].path) if node.op_type.startswith("SparseQLinearConv")
    }  # fmt: skip
    # The first reads what was quantized, the third what a pool gives; a pool reads the second, a float layer the sum.
    assert sorted(found.values()) == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1]], found


def test_the_library_gives_what_stock_onnx_runtime_gives(exported):
    libraries = sparse_runtime()
    if not libraries:
        pytest.skip("the sparse runtime is not built")
    stock = session(exported[1].path).run(None, {"x": X.numpy()})[0]
    ours = session(exported[1].path, libraries=libraries).run(None, {"x": X.numpy()})[0]
    # The last linear layer over tokens has levels of its input / 255 of its range; float layers round before it.
    np.testing.assert_allclose(ours, stock, atol=1e-2 * np.abs(stock).max())


def test_levels_change_the_network_s_output_by_percents(exported):
    module, report = exported
    with torch.no_grad():
        exact = module(X).numpy()
    stock = session(report.path).run(None, {"x": X.numpy()})[0]
    # Five layers with levels of 1/255 of a range, and weights of 1/64 of a row's largest; 0.02 was seen.
    assert np.abs(stock - exact).max() <= 0.1 * np.abs(exact).max()


def test_the_file_verifies_and_its_counts_are_those_of_the_network(exported):
    path = exported[1].path
    verified = verify_file(path, sample_noise(path), libraries=sparse_runtime())
    assert verified.weights == len(exported[1].weights)
    assert inspect_file(path).disagreements == ()
    counts = {record.name: record.nnz for record in inspect_file(path).weights}
    parameters = {name: int((p != 0).sum()) for name, p in exported[0].named_parameters() if name in counts}
    assert counts == parameters


def test_the_inlined_form_computes_the_same(exported, tmp_path):
    path = tmp_path / "inlined.onnx"
    n2nsurgery.export_onnx(
        exported[0], path, example_inputs=X[:2], values="int8", calibration=[X[:8], X[8:]], format="inlined"
    )
    assert not [node for node in nodes(path) if node.domain]
    np.testing.assert_array_equal(
        session(path).run(None, {"x": X.numpy()})[0], session(exported[1].path).run(None, {"x": X.numpy()})[0]
    )


def test_single_weights_are_left_to_floats_with_the_reason(tmp_path):
    with pytest.raises(UsageError, match=r"no layer can.*hold \d+% kept weights, below 40%: prune in block1x4"):
        n2nsurgery.export_onnx(
            network(blocks=False), tmp_path / "x.onnx", example_inputs=X[:2], values="int8", calibration=[X]
        )
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize(
    ("options", "calibration", "message"),
    [
        ({"values": "fp32"}, [X], "is for the values int8"),
        ({"values": "int8"}, [], "has no batch"),
        ({"values": "int8"}, [X * torch.inf], "finite"),
    ],
)
def test_calibration_that_tells_nothing_is_refused(tmp_path, options, calibration, message):
    with pytest.raises(UsageError, match=message):
        n2nsurgery.export_onnx(network(), tmp_path / "x.onnx", example_inputs=X[:2], calibration=calibration, **options)


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero"),
    [
        (0, 255, 1, 0),
        (-255, 0, 1, 255),
        (-1, 1, 2 / 255, 127),
        (3, 5, 5 / 255, 0),
        (0, 0, 1, 0),
        (-2, -1, 2 / 255, 255),
    ],
)
def test_levels_hold_zero_and_both_ends_of_the_range(low, high, scale, zero):
    levels = levels_of(low, high)
    assert (levels.scale, levels.zero) == (pytest.approx(scale), zero)


def test_the_fill_of_blocks_counts_kept_weights_in_blocks_that_hold_any():
    weight = np.zeros((2, 6, 1, 2), np.float32)
    weight[0, 0:2, 0, 0] = 1
    weight[1, 4:6, 0, 1] = 1
    assert block_fill(weight) == 0.5
    assert block_fill(np.zeros((2, 6), np.float32)) == 1
