"""export_module in its forms, and what inspect, verify and bench say of the files."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from n2nsurgery.core.errors import InvalidFileError, RunError, UsageError, VerificationError
from n2nsurgery.export import deployment
from n2nsurgery.export.bench.bench import bench
from n2nsurgery.export.bench.bench_process import turns_in_process
from n2nsurgery.export.bench.bench_settings import BenchSettings, Side
from n2nsurgery.export.capture.capture import capture
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.export.exporter import export_module
from n2nsurgery.export.files import metadata
from n2nsurgery.export.files.ideal_size import ideal_size
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.export.proof.proofs import Proofs
from n2nsurgery.export.proof.report import ExportReport
from n2nsurgery.export.proof.verify_file import Original, sample_noise, verify_file
from n2nsurgery.export.sparse import weight_coding
from n2nsurgery.export.sparse.layer_race import race_with
from n2nsurgery.export.sparse.operators import DOMAIN
from n2nsurgery.export.sparse.stored_weights import tensors_of, weight
from n2nsurgery.export.sparse.weight_coding import codings
from n2nsurgery.export.sparse.weight_record import WeightRecord

X = (torch.linspace(-1, 1, 2 * 8 * 6 * 6).reshape(2, 8, 6, 6),)


class Network(nn.Module):
    """conv-BN-ReLU twice with a shortcut, tokens, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, 32, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.body = nn.Conv2d(32, 32, 3, padding=1)
        self.tokens = nn.Linear(32, 32)
        self.head = nn.Linear(32, 40)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 8, 6, 6) -> (N, 40)."""
        a = torch.relu(self.norm(self.stem(x)))
        b = torch.relu(self.body(a) + a)
        return self.head(torch.relu(self.tokens(b.flatten(2).mT)).mean(1))


@pytest.fixture(scope="module")
def network() -> Network:
    """Pruned to a tenth, the head further, with statistics that scale and shift."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Network().eval()
    net.norm.running_mean.uniform_(-1, 1, generator=generator)
    with torch.no_grad():
        for name, mask in masks_of(net).items():
            net.get_parameter(name).mul_(mask)
    return net


def masks_of(net: nn.Module) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    weights = {name: p for name, p in net.named_parameters() if p.dim() > 1}
    masks = {name: torch.rand(p.shape, generator=generator) < 0.1 for name, p in weights.items()}
    masks["head.weight"] &= torch.rand(masks["head.weight"].shape, generator=generator) < 0.5
    masks["body.weight"][3] = False
    return masks


def export(net: Network, path: Path, **options: object) -> ExportReport:
    return export_module(
        net, X, ("x",), path=path, metadata={"summary": {"mask_fingerprint": "abc"}}, masks=masks_of(net), **options
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def portable(network: Network, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """The network in its default format."""
    return export(network, tmp_path_factory.mktemp("portable") / "m.onnx")


def test_the_default_file_is_coded_and_equals_the_dense_form_bit_for_bit(portable):
    assert portable.identical is True
    assert portable.unchecked == ()
    assert set(portable.masked) == {"stem.weight", "body.weight", "tokens.weight", "head.weight"}
    links = {(line.subject, line.reference) for line in portable.parity}
    assert links == {("the dense form", "torch"), ("the file", "the dense form")}
    assert {p.batch for p in portable.parity} == {1, 2, 3}
    operators = [node.op_type for node in load_model(portable.path).graph.node if node.domain == DOMAIN]
    assert operators == ["SparseConvRelu", "SparseConvAddRelu", "SparseLinearRelu", "SparseGemm"]


def test_a_second_export_gives_the_same_bytes_in_every_form(network, portable, tmp_path):
    export(network, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == portable.path.read_bytes()
    for name in ("a.onnx", "b.onnx"):
        export(network, tmp_path / name, config=ExportConfig(format="inlined", values="int8"))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_every_weight_is_read_back_as_torch_holds_it(network, portable):
    tensors = tensors_of(load_model(portable.path))
    for record in portable.weights:
        expected = network.get_parameter(record.name).detach().numpy()
        stored = weight(record, tensors)
        assert stored.shape == expected.shape
        assert np.array_equal(stored != 0, expected != 0)  # BatchNorm's factor is in the stem


def test_a_dense_file_is_made_of_ordinary_tensors(network, tmp_path):
    report = export(network, tmp_path / "m.onnx", config=ExportConfig(format="dense"))
    model = load_model(report.path)
    assert {node.domain for node in model.graph.node} == {""}
    assert report.identical is None
    assert {record.code for record in report.weights} == {"dense"}
    assert set(report.masked) == set(masks_of(network))
    assert verify_file(report.path, [X]).weights == 4


@pytest.mark.parametrize("values", ["fp16", "int8"])
def test_rounded_values_are_reported_apart_from_the_coding(network, tmp_path, portable, values):
    report = export(network, tmp_path / "m.onnx", config=ExportConfig(values=values))
    assert report.identical is True
    assert report.size < portable.size
    rounding = [p.difference for p in report.parity if p.subject == f"the dense form in {values}"]
    assert 0 < max(rounding) < 0.05  # eight-bit levels, averaged over many products


def test_compaction_is_proven_like_everything_else(network, tmp_path):
    pruned = Network().eval()
    pruned.load_state_dict(network.state_dict())
    with torch.no_grad():
        pruned.stem.weight[5] = 0
        pruned.norm.running_mean[5] = 1  # after BN below zero, so nothing after ReLU
        pruned.norm.bias[5] = 0
        pruned.body.weight[5] = 0
        pruned.body.bias[5] = -1
        pruned.tokens.weight[:, 5] = 0
    report = export(pruned, tmp_path / "m.onnx", config=ExportConfig(compact=True))
    assert report.identical is True
    assert report.unchecked == ()
    original = Original(module=pruned, masks=masks_of(pruned), fingerprint="abc")
    assert len(verify_file(report.path, [X], original=original).masked) == 4


def test_a_wrong_code_is_an_internal_error_before_anything_is_written(network, tmp_path, monkeypatch):
    encode = weight_coding.encode

    def damaged(stored, code, **options):
        coded = encode(stored, code, **options)
        return dataclasses.replace(coded, values=coded.values * 2)

    monkeypatch.setattr(weight_coding, "encode", damaged)
    with pytest.raises(Exception, match="does not decode"):
        export(network, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def altered(source: Path, target: Path, change) -> Path:
    """A copy of a file with `change` applied to its model."""
    model = onnx.load(source)
    change(model)
    target.write_bytes(model.SerializeToString())
    return target


def revive(model: onnx.ModelProto) -> None:
    """Moves one non-zero of the body by one place."""
    (tensor,) = (t for t in model.graph.initializer if t.name == "body.weight.gaps")
    gaps = numpy_helper.to_array(tensor).copy()
    movable = next(i for i in range(1, len(gaps) - 1) if gaps[i] < 254 and gaps[i + 1] > 1)
    gaps[movable] += 1
    gaps[movable + 1] -= 1
    tensor.CopyFrom(numpy_helper.from_array(gaps, tensor.name))


def drop(model: onnx.ModelProto) -> None:
    """Sets one value of the body to zero."""
    (tensor,) = (t for t in model.graph.initializer if t.name == "body.weight.values")
    values = numpy_helper.to_array(tensor).copy()
    values[np.flatnonzero(values)[0]] = 0
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def test_inspect_counts_again(portable, tmp_path):
    found = inspect_file(portable.path)
    assert found.disagreements == ()
    assert found.ideal_size == portable.ideal_size
    assert json.dumps(found.to_json())
    wrong = inspect_file(altered(portable.path, tmp_path / "m.onnx", drop))
    assert wrong.disagreements == ("body.weight",)


def test_verify_proves_a_good_file_and_refuses_an_altered_one(network, portable, tmp_path):
    original = Original(module=network, masks=masks_of(network), fingerprint="abc")
    proven = verify_file(portable.path, sample_noise(portable.path), original=original)
    assert len(proven.masked) == 4
    assert max(line.difference for line in proven.parity) <= 1e-5
    with pytest.raises(VerificationError, match="do not hold what the metadata says"):
        verify_file(altered(portable.path, tmp_path / "a.onnx", drop), [X])
    with pytest.raises(VerificationError, match="pruned weights are not zero"):
        verify_file(altered(portable.path, tmp_path / "b.onnx", revive), [X], original=original)
    with pytest.raises(VerificationError, match="masks abc"):
        verify_file(portable.path, [X], original=dataclasses.replace(original, fingerprint="other"))


def test_a_file_of_another_tool_is_inspected_by_its_tensors(portable, tmp_path):
    def strip(model: onnx.ModelProto) -> None:
        del model.metadata_props[:]

    found = inspect_file(altered(portable.path, tmp_path / "m.onnx", strip))
    assert found.document is None
    assert found.mac_density is None


def test_damaged_records_are_refused(portable, tmp_path):
    def shaped(shape: list[int]) -> Callable[[onnx.ModelProto], None]:
        def change(model: onnx.ModelProto) -> None:
            document = json.loads(model.metadata_props[0].value)
            document["deployment"]["weights"][0]["shape"] = shape
            model.metadata_props[0].value = json.dumps(document)

        return change

    assert portable.weights[0].to_json().keys() == {field.name for field in dataclasses.fields(WeightRecord)}
    with pytest.raises(InvalidFileError, match=r"shape \(1099511627776,\); at most 8 dimensions"):
        inspect_file(altered(portable.path, tmp_path / "m.onnx", shaped([2**40])))
    with pytest.raises(VerificationError, match=r"holds \d+ weights; the metadata says it has 1 places"):
        inspect_file(altered(portable.path, tmp_path / "m.onnx", shaped([])))
    assert metadata.SCHEMA_VERSION == 1


def test_measured_layers_are_sparse_where_they_were_faster(network, tmp_path, monkeypatch):
    ratios = {"stem": 2.5, "body": 0.5, "tokens": 1.25, "head": None}  # None: the input's shape is not known

    def race(match, _coded):
        return ratios[next(name for name in ratios if match.weight.name.startswith(name))]

    monkeypatch.setattr(deployment, "race_with", lambda _libraries: race)
    monkeypatch.setattr(
        Proofs, "final", lambda *_arguments, **_options: None
    )  # no library is there to prove the file with
    report = export(network, tmp_path / "m.onnx", config=ExportConfig(measure=True), libraries=(tmp_path / "some.so",))
    computed = {record.name: (record.computed, record.measured) for record in report.weights}
    assert computed["stem.weight"] == ("sparse", 2.5)
    assert computed["body.weight"] == ("dense", 0.5)
    assert computed["tokens.weight"] == ("sparse", 1.25)
    assert computed["head.weight"][1] is None
    assert inspect_file(report.path).weights == report.weights


def test_without_measuring_no_record_depends_on_the_machine(portable):
    assert {record.measured for record in portable.weights} == {None}


@pytest.mark.parametrize(
    ("form", "libraries", "reason"), [("portable", (), "sparse runtime"), ("dense", (Path("some.so"),), "dense")]
)
def test_measuring_needs_sparse_kernels(network, tmp_path, form, libraries, reason):
    with pytest.raises(UsageError, match=reason):
        export(network, tmp_path / "m.onnx", config=ExportConfig(format=form, measure=True), libraries=libraries)


@pytest.mark.parametrize("values", ["fp32", "int8"])
def test_a_race_runs_every_layer_alone(network, values):
    # Both sides are stock ONNX Runtime here: that each layer makes a valid model of its own is what is shown.
    ratios = []

    def race(match, coded):
        ratios.append(race_with(())(match, coded))
        return ratios[-1]

    found = list(codings(capture(network, X, ("x",)).model.graph, values, race))
    assert [coding.record.measured for coding in found] == [pytest.approx(ratio, abs=1e-3) for ratio in ratios]
    assert len(ratios) == 4


def test_bench_takes_turns_and_reports_both_sides(portable):
    side = Side(path=portable.path)
    report = bench(side, side, BenchSettings(seconds=0.0, layers=True))
    assert report.rounds == 10
    assert report.ratio is not None
    low, middle, high = report.ratio
    assert 0 < low <= middle <= high
    assert min(report.model.loading.load, report.model.loading.first, report.model.loading.warm) > 0
    assert report.model.ideal_size == portable.ideal_size
    assert {layer.operator for layer in report.model.layers} & {"FusedConv", "Conv"}
    assert json.dumps(report.to_json())


def test_bench_gives_sessions_with_several_threads_a_process_each(portable, monkeypatch):
    begun = []
    popen = subprocess.Popen

    def recorded(command, **settings):
        begun.append(command[2])
        return popen(command, **settings)

    monkeypatch.setattr("n2nsurgery.export.bench.bench_process.subprocess.Popen", recorded)
    side = Side(path=portable.path)
    report = bench(side, side, BenchSettings(seconds=0.0, rounds=2, threads=2))
    assert begun.count("n2nsurgery.export.bench.bench_process") == 2
    assert report.rounds == 2
    assert min(report.model.latency) > 0


def test_a_session_that_fails_in_its_own_process_says_why(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with (
        pytest.raises(RunError, match="does not run in a process of its own"),
        turns_in_process(Side(path=path), BenchSettings(threads=2)),
    ):
        pass


def test_bench_refuses_what_does_not_run(portable):
    with pytest.raises((RunError, VerificationError), match=r"cannot load|did not load"):
        bench(Side(path=portable.path), None, BenchSettings(device="tensorrt", seconds=0.0))


def test_bench_says_which_batch_a_file_has(portable, tmp_path):
    def fix(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2

    path = altered(portable.path, tmp_path / "m.onnx", fix)
    with pytest.raises((UsageError, RunError), match="--batch 2"):
        bench(Side(path=path), None, BenchSettings(seconds=0.0))


@pytest.mark.parametrize(
    ("kept", "places", "expected"),
    [
        (0, 100, 0.0),
        (100, 100, 400.0),  # nothing to tell about positions
        (50, 100, (50 * 32 + 100) / 8),  # one bit for each place
    ],
)
def test_the_bound_is_shannon_s(kept, places, expected):
    assert ideal_size([(kept, places)]) == pytest.approx(expected)
