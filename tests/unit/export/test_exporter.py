"""export_module: what appears is proven, and nothing appears otherwise."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from n2nsurgery.core.errors import TraceError, UsageError, VerificationError
from n2nsurgery.export.exporter import export_module
from n2nsurgery.export.files import onnx_file
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.proof import verify
from n2nsurgery.export.proof.report import ExportReport


class ConvNet(nn.Module):
    """conv-BN-ReLU, pooling, a linear layer on vectors and one on sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.tokens = nn.Linear(4, 4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 5)."""
        z = torch.relu(self.norm(self.conv(x)))
        return self.head(self.tokens(z.flatten(2).mT).mean(1))


class Segmenter(ConvNet):
    """Returns a dictionary, as torchvision's segmentation models do."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) -> maps under `out` and `aux`."""
        z = self.norm(self.conv(x))
        return {"out": torch.relu(z), "aux": z}


class FixedBatch(ConvNet):
    """Bakes the batch size of its first call into the graph."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, -1) for one N only."""
        return super().forward(x).reshape(int(x.shape[0]), 5) if x.shape[0] == 2 else x.mean()


class Doubled(nn.Module):
    """Not what it was exported as: ten per cent more while it is traced."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) -> (N, C)."""
        return x * 1.1 if torch.compiler.is_exporting() else x * 1.0


@dataclass
class Outcome:
    """What a module may return besides tuples."""

    logits: Tensor
    extra: Tensor | None = None


class Structured(nn.Module):
    """Returns a dataclass."""

    def forward(self, x: Tensor) -> Outcome:
        """(N, C) -> its rectification."""
        return Outcome(logits=torch.relu(x))


IMAGES = (torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8),)
VECTORS = (torch.linspace(-1, 1, 6).reshape(1, 6),)


@pytest.fixture
def network() -> ConvNet:
    """A ConvNet with half its conv and sequence weights pruned and norm statistics that scale and shift."""
    torch.manual_seed(0)
    net = ConvNet().eval()
    with torch.no_grad():
        net.norm.running_var.uniform_(0.5, 2)
        net.norm.running_mean.uniform_(-1, 1)
        for name, mask in pruning(net).items():
            net.get_parameter(name).mul_(mask)
    return net


def pruning(net: nn.Module) -> dict[str, Tensor]:
    """Masks that keep every second weight of the conv and of the sequence layer."""
    weights = {name: net.get_parameter(name) for name in ("conv.weight", "tokens.weight")}
    return {n: (torch.arange(w.numel()) % 2 == 0).reshape(w.shape) for n, w in weights.items()}


def export(module: nn.Module, path: Path, inputs: tuple[Tensor, ...] = IMAGES, **options: object) -> ExportReport:
    """export_module with this file's defaults."""
    return export_module(module, inputs, ("input",), path=path, **{"metadata": {"plan": 1}, **options})  # type: ignore[arg-type]


def test_the_file_reproduces_torch_at_two_batch_sizes(network: ConvNet, tmp_path: Path) -> None:
    report = export(network, tmp_path / "m.onnx")
    assert {parity.batch for parity in report.parity} == {1, 2}
    assert all(parity.difference <= report.tolerance for parity in report.parity)
    assert report.size == (tmp_path / "m.onnx").stat().st_size
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_the_batch_dimension_is_dynamic(network: ConvNet, tmp_path: Path) -> None:
    export(network, tmp_path / "m.onnx")
    (value,) = load_model(tmp_path / "m.onnx").graph.input
    assert [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] == ["batch", 3, 8, 8]


def test_batch_norm_is_folded_and_pruned_weights_stay_zero_under_their_names(network: ConvNet, tmp_path: Path) -> None:
    masks = pruning(network)
    report = export(network, tmp_path / "m.onnx", masks=masks)
    model = load_model(tmp_path / "m.onnx")
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert np.array_equal(weights["conv.weight"] != 0, masks["conv.weight"].numpy())
    assert np.array_equal(weights["tokens.weight.T"].T != 0, masks["tokens.weight"].numpy())
    assert report.masked == ("conv.weight", "tokens.weight")
    assert report.unchecked == ()


def test_a_second_export_gives_the_same_bytes(network: ConvNet, tmp_path: Path) -> None:
    export(network, tmp_path / "a.onnx")
    export(network, tmp_path / "b.onnx")
    content = (tmp_path / "a.onnx").read_bytes()
    assert content == (tmp_path / "b.onnx").read_bytes()
    assert b"stack_trace" not in content
    assert str(Path(__file__).parent).encode() not in content


def test_the_caller_s_module_is_unchanged(network: ConvNet, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export(network, tmp_path / "m.onnx")
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_keys_of_a_dictionary_become_output_names(tmp_path: Path) -> None:
    report = export(Segmenter().eval(), tmp_path / "m.onnx")
    assert report.outputs == ("out", "aux")


def test_fields_of_a_dataclass_become_output_names(tmp_path: Path) -> None:
    report = export(Structured().eval(), tmp_path / "m.onnx", VECTORS)
    assert report.outputs == ("logits",)


def test_a_module_of_two_inputs_keeps_their_names(tmp_path: Path) -> None:
    module = nn.Bilinear(6, 6, 2).eval()
    report = export_module(module, VECTORS * 2, ("left", "right"), path=tmp_path / "m.onnx", metadata={})
    assert report.inputs == ("left", "right")


def test_a_model_that_begins_in_place_does_not_change_the_example(tmp_path: Path) -> None:
    example = VECTORS[0].clone()
    report = export(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 2)).eval(), tmp_path / "m.onnx", (example,))
    assert torch.equal(example, VECTORS[0])
    assert report.outputs == ("output",)


def test_a_weight_used_twice_is_stored_once(tmp_path: Path) -> None:
    shared = nn.Linear(6, 6)
    report = export(nn.Sequential(shared, nn.ReLU(), shared).eval(), tmp_path / "m.onnx", VECTORS)
    names = [tensor.name for tensor in load_model(report.path).graph.initializer]
    assert names.count("0.weight") == 1
    assert "2.weight" not in names


class Tied(nn.Module):
    """A table that is read, and multiplied by turned; it returns an input, a weight, and one result twice."""

    def __init__(self) -> None:
        super().__init__()
        table = torch.linspace(-1, 1, 64 * 64).reshape(64, 64)
        self.table = nn.Parameter(torch.where(torch.arange(64) % 16 == 0, table, 0))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 64) -> (N, 64), x, the table, and the first again."""
        y = torch.relu(x @ self.table) @ self.table.T
        return y, x, self.table, y


def test_each_output_has_a_name_of_its_own_and_each_weight_its_orientation(tmp_path: Path) -> None:
    x, network = torch.linspace(-1, 1, 3 * 64).reshape(3, 64), Tied().eval()
    report = export(network, tmp_path / "m.onnx", (x,))
    assert report.outputs == tuple(f"output_{number}" for number in range(4))
    codes = {weight.name: weight.code for weight in report.weights}
    assert (codes["table"], codes["table.T"]) == ("gaps8", "gaps8")
    session = onnxruntime.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    computed = session.run(None, {"input": x.numpy()})
    for ours, theirs in zip(computed, network(x), strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-5)


class Spectrum(nn.Module):
    """Returns complex numbers."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) -> (N, C)."""
        return torch.fft.fft(x)


def test_complex_outputs_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"complex numbers at 'output': return torch.view_as_real"):
        export(Spectrum().eval(), tmp_path / "m.onnx", VECTORS)


def test_weights_beyond_the_limit_lie_beside_the_file(
    network: ConvNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inline = export(network, tmp_path / "inline.onnx")
    monkeypatch.setattr(onnx_file, "INLINE_LIMIT", 100)
    report = export(network, tmp_path / "m.onnx", masks=pruning(network))
    assert report.external_data == tmp_path / "m.onnx.data"
    (inline_conv,) = (t for t in load_model(inline.path).graph.initializer if t.name == "conv.weight")
    (conv,) = (t for t in load_model(report.path).graph.initializer if t.name == "conv.weight")
    assert np.array_equal(numpy_helper.to_array(conv), numpy_helper.to_array(inline_conv))
    monkeypatch.undo()
    export(network, tmp_path / "m.onnx", overwrite=True)
    assert not (tmp_path / "m.onnx.data").exists(), "weights of the replaced model are left over"


def test_an_existing_file_is_never_replaced_unasked(network: ConvNet, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("precious")
    with pytest.raises(UsageError, match="exists"):
        export(network, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_text() == "precious"
    export(network, tmp_path / "m.onnx", overwrite=True)
    load_model(tmp_path / "m.onnx")


def test_a_network_that_is_not_what_was_exported_is_caught_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"differs from torch by 1\.00e-01"):
        export(Doubled().eval(), tmp_path / "m.onnx", VECTORS)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_file_it_would_have_replaced(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("precious")
    with pytest.raises(VerificationError):
        export(Doubled().eval(), tmp_path / "m.onnx", VECTORS, overwrite=True)
    assert (tmp_path / "m.onnx").read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_a_revived_weight_is_caught(network: ConvNet, tmp_path: Path) -> None:
    masks = pruning(network)
    with torch.no_grad():
        network.tokens.weight[0, 1] = 1e-30
    with pytest.raises(VerificationError, match=r"'tokens.weight': 1 of 8 pruned weights are not zero"):
        export(network, tmp_path / "m.onnx", masks=masks)
    assert list(tmp_path.iterdir()) == []


def test_a_fixed_batch_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises((TraceError, VerificationError), match="batch"):
        export(FixedBatch().eval(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_model_in_training_mode_is_refused(network: ConvNet, tmp_path: Path) -> None:
    network.norm.train()
    with pytest.raises(UsageError, match="'norm' is in training mode"):
        export(network, tmp_path / "m.onnx")


def test_halves_are_stored_and_computed_as_halves(network: ConvNet, tmp_path: Path) -> None:
    report = export(network.half(), tmp_path / "m.onnx", (IMAGES[0].half(),))
    assert 0 < max(line.difference for line in report.parity) <= report.tolerance == 1e-2  # 5e-4 for each operation
    types = {tensor.data_type for tensor in load_model(report.path).graph.initializer if len(tensor.dims) > 1}
    assert types == {onnx.TensorProto.FLOAT16}


def test_bfloat16_is_refused_with_what_to_do(network: ConvNet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"torch.bfloat16.* \.float\(\) or \.half\(\)"):
        export(network.bfloat16(), tmp_path / "m.onnx")


def test_control_flow_on_values_is_a_trace_error(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(TraceError):
        export(Branching().eval(), tmp_path / "m.onnx", VECTORS)


def test_the_exporter_s_chatter_does_not_reach_the_user(
    network: ConvNet, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export(network, tmp_path / "m.onnx")
    assert caught == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_every_stage_is_announced(network: ConvNet, tmp_path: Path) -> None:
    stages: list[tuple[str, float]] = []
    export(network, tmp_path / "m.onnx", progress=lambda *step: stages.append(step))
    assert stages == [
        ("capturing the graph", 0.0),
        ("coding the weights", 0.5),
        ("writing", 0.6),
        ("checking", 0.8),
        ("comparing with torch in ONNX Runtime", 0.9),
    ]


def test_the_checker_of_onnx_accepts_the_file(network: ConvNet, tmp_path: Path) -> None:
    export(network, tmp_path / "m.onnx")
    verify.require_valid(tmp_path / "m.onnx")
    broken = load_model(tmp_path / "m.onnx")
    broken.graph.node[0].input[0] = "nowhere"
    onnx.save(broken, tmp_path / "broken.onnx")
    with pytest.raises(VerificationError, match=r"onnx\.checker"):
        verify.require_valid(tmp_path / "broken.onnx")


class Branching(nn.Module):
    """Runs other code for batches of `largest` samples or more, which multiplies by `factor`."""

    def __init__(self, largest: int, factor: float) -> None:
        super().__init__()
        self.layer, self.largest, self.factor = nn.Linear(4, 4), largest, factor

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y.contiguous() * self.factor if x.shape[0] >= self.largest else y


class Choosing(nn.Module):
    """A model whose code depends on the values of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


def test_code_that_depends_on_values_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(TraceError, match=r"torch\.where does without an `if`"):
        export_module(Choosing().eval(), [torch.randn(2, 4)], ["x"], path=tmp_path / "a.onnx", metadata={})


def test_code_for_large_batches_that_computes_the_same_is_compared_there(tmp_path):
    report = export_module(Branching(64, 1.0).eval(), [torch.randn(2, 4)], ["x"], path=tmp_path / "a.onnx", metadata={})
    assert {line.batch for line in report.parity} >= {1, 3, 64}


def test_code_for_large_batches_that_computes_something_else_is_refused(tmp_path):
    with pytest.raises(VerificationError, match="at batch size 64 differs"):
        export_module(Branching(64, 2.0).eval(), [torch.randn(2, 4)], ["x"], path=tmp_path / "a.onnx", metadata={})
    with pytest.raises(TraceError, match="does not work for every batch size"):
        export_module(Branching(999, 1.0).eval(), [torch.randn(2, 4)], ["x"], path=tmp_path / "a.onnx", metadata={})
