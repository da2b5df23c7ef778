from __future__ import annotations

import copy
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from n2nsurgery import PrunedModel, apply, export_onnx, load
from n2nsurgery.core.errors import InvalidFileError, UsageError, VerificationError
from n2nsurgery.export.files import metadata
from n2nsurgery.export.proof.verify_file import Original, verify_file
from n2nsurgery.pipelines.deploy import export as pipeline
from n2nsurgery.pipelines.deploy.export import run
from n2nsurgery.pipelines.prune.apply import run as run_apply
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.surgery.example_inputs import examples
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.summary import summary


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if index == 0 else 4, 4, 3, padding=1) for index in range(5))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = torch.relu(norm(conv(x)))
        return x.mean((2, 3))


@pytest.fixture
def pruned() -> PrunedModel:
    """A network in train mode whose statistics are not those of its start."""
    x = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pruned = apply(Tiny(), density=0.5, skip_ratio=0.2, example_inputs=x[:2])
    for _ in range(5):
        pruned.module(x)
    return pruned


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_onnx_runtime_computes_what_torch_does_at_any_batch(pruned, tmp_path):
    report = export_onnx(pruned, tmp_path / "tiny.onnx")
    runtime = session(tmp_path / "tiny.onnx")
    assert [value.name for value in runtime.get_inputs()] == ["x"] == list(report.inputs)
    for batch in (1, 2, 5):
        x = torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            expected = pruned.module.eval()(x)
        (actual,) = runtime.run(None, {"x": x.numpy()})
        # a few roundings of single precision: BatchNorm is folded into the convolution
        torch.testing.assert_close(torch.from_numpy(actual), expected, rtol=1e-5, atol=1e-6)
        assert expected.std() > 0.01  # a constant output would prove nothing


def test_pruned_weights_are_zero_in_the_file(pruned, tmp_path):
    report = export_onnx(pruned, tmp_path / "tiny.onnx")
    assert set(report.masked) == set(pruned.masks)
    assert report.unchecked == ()


def test_the_plan_and_its_outcome_are_in_the_files_own_metadata(pruned, tmp_path):
    export_onnx(pruned, tmp_path / "tiny.onnx")
    properties = session(tmp_path / "tiny.onnx").get_modelmeta().custom_metadata_map
    document = metadata.decode(properties)
    assert json.dumps(document["plan"], sort_keys=True) == json.dumps(pruned.plan.to_json(), sort_keys=True)
    expected = summary(pruned.plan, pruned.masks, pruned.record)
    assert document["summary"] == json.loads(json.dumps(expected))


def test_a_summary_of_the_connectivity_is_in_the_metadata_where_it_is_asked_for(pruned, tmp_path):
    exports = {wanted: export_onnx(pruned, tmp_path / f"{wanted}.onnx", report=wanted) for wanted in (True, False)}
    with_summary, without = (
        metadata.decode(session(exports[wanted].path).get_modelmeta().custom_metadata_map) for wanted in (True, False)
    )
    assert "connectivity" not in without
    found = with_summary["connectivity"]
    assert found["verdict"].endswith("connected")
    assert found["quantities"]["components.components"]["value"] >= 1
    assert 0 <= found["quantities"]["heat-distance.F_share"]["value"] <= 1


def test_exporting_leaves_the_network_in_its_mode_and_its_place(pruned, tmp_path):
    before = {name: tensor.clone() for name, tensor in pruned.module.state_dict().items()}
    assert pruned.module.training
    export_onnx(pruned, tmp_path / "tiny.onnx")
    assert pruned.module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in pruned.module.state_dict().items())


def test_a_network_whose_pruned_weights_have_moved_is_not_exported(pruned, tmp_path):
    name, mask = next(iter(pruned.masks.items()))
    pruned.module.get_parameter(name).data.add_(1)
    expected = rf"{int((~mask).sum())} pruned weights are no longer zero \(in '{re.escape(name)}'\).*enforce"
    with pytest.raises(VerificationError, match=expected):
        export_onnx(pruned, tmp_path / "tiny.onnx")
    assert not (tmp_path / "tiny.onnx").exists()


def test_a_network_with_a_parametrized_weight_is_not_exported(pruned, tmp_path):
    name = next(name for name in pruned.masks if not name.startswith("n2n_skips"))
    weight_norm(pruned.module.get_submodule(name.removesuffix(".weight")))
    with pytest.raises(
        UsageError, match=rf"'{re.escape(name)}' of the pruned module is no longer an ordinary parameter"
    ):
        export_onnx(pruned, tmp_path / "tiny.onnx")


def test_an_existing_file_is_kept_unless_it_may_be_replaced(pruned, tmp_path):
    (tmp_path / "tiny.onnx").write_text("precious")
    with pytest.raises(UsageError, match="already exists"):
        export_onnx(pruned, tmp_path / "tiny.onnx")
    assert (tmp_path / "tiny.onnx").read_text() == "precious"
    export_onnx(pruned, tmp_path / "tiny.onnx", overwrite=True)
    assert session(tmp_path / "tiny.onnx")


def test_the_same_export_again_is_there_already_and_another_is_refused(pruned, tmp_path):
    path = tmp_path / "tiny.onnx"
    first = export_onnx(pruned, path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert export_onnx(pruned, path).to_json() == {**first.to_json(), "already_there": True}
    with pytest.raises(UsageError, match="already exists"):  # at once: its metadata say so
        export_onnx(pruned, path, values="fp16")
    with torch.no_grad():
        pruned.module.get_parameter(next(iter(pruned.masks))).mul_(2)
    with pytest.raises(UsageError, match="already exists"):  # at the end: other bytes
        export_onnx(pruned, path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


class Conditioned(nn.Module):
    """Three inputs; the second may be left out, and the third is a vector of indices."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 6)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(5))

    def forward(self, x: Tensor, shift: Tensor | None = None, kind: Tensor | None = None) -> Tensor:
        if shift is not None:
            x = x + shift
        x = x + self.embedding(kind)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


def test_inputs_have_the_names_that_forward_gives_them(tmp_path):
    inputs = {"x": torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), "kind": torch.tensor([1, 4])}
    pruned = apply(Conditioned(), density=0.5, example_inputs=inputs)
    export_onnx(pruned, tmp_path / "conditioned.onnx")
    (actual,) = session(tmp_path / "conditioned.onnx").run(
        None, {name: value.numpy() for name, value in inputs.items()}
    )
    with torch.no_grad():
        expected = pruned.module.eval()(**inputs)
    torch.testing.assert_close(torch.from_numpy(actual), expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def artifact(tmp_path, monkeypatch) -> Path:
    """The older of two artifacts in `exported/` below the working directory; the newer one is called `second`."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(("second", "first")):
        folder = Path("exported") / name
        run_apply(ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.01), output=folder))
        os.utime(folder / "manifest.json", ns=(0, 10**9 * (10 - age)))
    return Path("exported/first")


@pytest.fixture
def fast(monkeypatch) -> list[str]:
    """`export_onnx` replaced by a note of what it was asked for."""
    asked: list[str] = []
    monkeypatch.setattr(pipeline, "export_onnx", lambda _operated, path, **_options: asked.append(str(path)))
    return asked


@pytest.mark.usefixtures("artifact")
def test_the_newest_artifact_is_exported_beside_itself(fast):
    assert run().artifact == Path("exported/second")
    assert fast == ["exported/second.onnx"]


def test_an_artifact_and_an_output_may_be_named(artifact, fast):
    assert run(artifact, Path("elsewhere.onnx")).artifact == artifact
    assert fast == ["elsewhere.onnx"]


def test_an_existing_output_is_refused_before_anything_is_loaded(artifact, monkeypatch):
    def loads(*_arguments):
        raise AssertionError("the work has started")

    Path("exported/first.onnx").touch()
    monkeypatch.setattr(pipeline, "load", loads)
    with pytest.raises(UsageError, match=r"'exported/first\.onnx' already exists"):
        run(artifact)


def test_without_an_artifact_it_is_said_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidFileError, match=r"no artifact in 'exported'; make one with `n2nsurgery apply`"):
        run()


def test_the_document_names_artifact_file_size_and_difference(artifact):
    seen: list[tuple[str, float]] = []
    outcome = run(artifact, progress=lambda *step: seen.append(step))
    shown = json.loads(json.dumps(outcome.to_json(), allow_nan=False))
    assert shown["artifact"] == "exported/first"
    assert shown["onnx"] == "exported/first.onnx"
    assert shown["bytes"] == Path("exported/first.onnx").stat().st_size
    assert 0 <= shown["max_relative_difference"] <= shown["tolerance"]
    assert set(shown["masked"]) == set(load(artifact).masks)
    done = [fraction for _, fraction in seen]
    assert seen[0][0] == "loading first"
    assert done == sorted(done)
    assert len(set(done)) == len(done) >= 4


class Masked(nn.Module):
    """Attention with a key mask of ones and zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.layers = nn.Sequential(*(m for _ in range(4) for m in (nn.Linear(8, 8), nn.GELU())))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        bias = (1.0 - mask[:, None, :].float()) * torch.finfo(torch.float32).min
        return self.layers(torch.softmax(q @ k.transpose(1, 2) + bias, -1) @ v)


@pytest.fixture(scope="module")
def attentive():
    mask = torch.ones(2, 6, dtype=torch.long)
    return apply(Masked(), density=0.5, example_inputs=[torch.zeros(2, 6, 8), mask])


def test_an_integer_input_is_tried_with_ones_and_zeros(attentive, tmp_path):
    assert [example.tolist() for example in examples(attentive.plan.inputs)[1:]] == [[[1, 0, 1, 0, 1, 0]] * 2]
    assert export_onnx(attentive, tmp_path / "m.onnx").inputs == ("x", "mask")


def test_a_file_is_compared_on_the_inputs_that_are_given(attentive, tmp_path):
    given = {"mask": torch.ones(3, 6, dtype=torch.long), "x": torch.ones(3, 6, 8)}
    report = export_onnx(attentive, tmp_path / "m.onnx", example_inputs=given)
    assert sorted({line.batch for line in report.parity}) == [1, 3, 4]
    with pytest.raises(UsageError, match="example_inputs has 'x'; needed are 'x', 'mask'"):
        export_onnx(attentive, tmp_path / "n.onnx", example_inputs={"x": given["x"]})
    with pytest.raises(UsageError, match=r"has 'mask' as float32 of shape \(3, 6\); the network takes int64 of shape"):
        export_onnx(attentive, tmp_path / "n.onnx", example_inputs=[given["x"], torch.ones(3, 6)])


def test_a_network_that_computes_nan_is_not_exported(pruned, tmp_path):
    broken = replace(pruned, module=copy.deepcopy(pruned.module))
    next(p for name, p in broken.module.named_parameters() if name.endswith("bias")).data.fill_(float("nan"))
    with pytest.raises(VerificationError, match=r"not a number \(NaN\) at \d+ of \d+ places, so nothing can be proven"):
        export_onnx(broken, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_a_network_of_halves_is_verified_as_such(tmp_path):
    torch.manual_seed(0)
    layers = nn.Sequential(*(part for _ in range(4) for part in (nn.Linear(64, 64), nn.ReLU())))
    pruned = apply(layers.half(), density=0.5, example_inputs=torch.zeros(2, 64).half())
    report = export_onnx(pruned, tmp_path / "tiny.onnx")
    original = Original(module=pruned.module.eval(), masks=pruned.masks, fingerprint=pruned.masks.fingerprint)
    found = verify_file(report.path, [examples(pruned.plan.inputs)], original=original)
    assert found.masked == report.masked == tuple(pruned.masks)
    assert 1e-5 < max(line.difference for line in found.parity) < 1e-2  # halves round by 5e-4


def test_a_network_with_random_numbers_in_eval_mode_is_refused_for_that(tmp_path):
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))

        def forward(self, x):
            return self.layers(x + torch.rand_like(x))

    noisy = apply(Noisy(), example_inputs=torch.ones(2, 4), density=0.5, skip="none")
    with pytest.raises(
        VerificationError, match=r"Noisy returns something else every time .random numbers in eval mode"
    ):
        export_onnx(noisy, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
