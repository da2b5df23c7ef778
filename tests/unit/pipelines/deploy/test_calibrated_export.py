"""An artifact pruned in blocks, exported with the samples of an .npz file."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from n2nsurgery import PrunedModel, apply, export_onnx
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.pipelines.deploy import verify
from n2nsurgery.pipelines.deploy.export import run

INT8 = ExportConfig(values="int8")


@pytest.fixture
def pruned() -> PrunedModel:
    return apply("mlp", density=0.05, allocation="uniform", skip="none", granularity="block1x4")


def noise(pruned: PrunedModel, samples: int) -> torch.Tensor:
    """Inputs of the network."""
    shape = (samples, *pruned.plan.inputs[0].shape[1:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_samples_of_a_file_make_an_artifact_s_layers_compute_with_integers(pruned, tmp_path):
    folder, samples = tmp_path / "net", tmp_path / "samples.npz"
    pruned.save(folder)
    np.savez(samples, **{pruned.plan.inputs[0].name: noise(pruned, 20).numpy()})
    outcome = run(folder, calibrate=samples, config=INT8)
    operators = [node.op_type for node in onnx.load(outcome.report.path).graph.node]
    assert any(op.startswith("SparseQLinearGemm") for op in operators)
    assert verify.run(outcome.report.path, against=folder).masked == outcome.report.masked


def test_samples_without_the_network_s_input_are_refused(pruned, tmp_path):
    folder, samples = tmp_path / "net", tmp_path / "samples.npz"
    pruned.save(folder)
    np.savez(samples, other=np.zeros(3))
    with pytest.raises(InvalidFileError, match=f"has no {pruned.plan.inputs[0].name}"):
        run(folder, calibrate=samples, config=INT8)


def test_in_python_batches_are_given_as_example_inputs_are(pruned, tmp_path):
    x = noise(pruned, 4)
    batches = [{pruned.plan.inputs[0].name: x}, [x]]
    report = export_onnx(pruned, tmp_path / "a.onnx", values="int8", calibration=batches)
    again = export_onnx(pruned, tmp_path / "b.onnx", values="int8", calibration=[x])
    assert report.path.read_bytes() == again.path.read_bytes()
