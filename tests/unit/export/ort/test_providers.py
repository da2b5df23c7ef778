"""Sessions run where they were asked to, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from n2nsurgery.core.errors import RunError, UnknownNameError, VerificationError
from n2nsurgery.export.ort.providers import session


@pytest.fixture
def model() -> bytes:
    """y = relu(x)."""
    values = [helper.make_tensor_value_info(name, 1, [2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


def test_a_session_on_the_cpu_runs_from_bytes_and_from_a_path(model: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model)
    for source in (model, tmp_path / "m.onnx"):
        (y,) = session(source, threads=1).run(None, {"x": np.array([-1, 1], np.float32)})
        assert y.tolist() == [0, 1]


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "tensorrt"])
def test_a_device_that_does_not_load_is_an_error_without_noise(
    model: bytes, device: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises((RunError, VerificationError), match=device):
        session(model, device=device)
    assert capfd.readouterr() == ("", "")


def test_a_provider_that_falls_back_silently_is_an_error(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _: ["CPUExecutionProvider"])
    with pytest.raises(RunError, match="CUDAExecutionProvider, which did not load"):
        session(model, device="cuda")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "cpu:0", ""])
def test_an_unknown_device_is_named(model: bytes, device: str) -> None:
    with pytest.raises(UnknownNameError):
        session(model, device=device)


def test_bytes_that_are_no_model_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(VerificationError):
        session(b"not a model")
    assert capfd.readouterr() == ("", "")
