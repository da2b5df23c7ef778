"""An artifact pruned in blocks, exported with samples of files and of data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from n2nsurgery import PrunedModel, apply, export_onnx
from n2nsurgery.core.errors import CallerError, InvalidFileError, UsageError
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.pipelines.deploy import verify
from n2nsurgery.pipelines.deploy.calibration import CalibrationRequest, calibration_batches
from n2nsurgery.pipelines.deploy.export import run
from n2nsurgery.pipelines.training.train import run as train
from n2nsurgery.pipelines.training.train_request import TrainRequest
from n2nsurgery.surgery.planning.plan import SurgeryPlan

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
    outcome = run(folder, calibration=CalibrationRequest(source=str(samples)), config=INT8)
    operators = [node.op_type for node in onnx.load(outcome.report.path).graph.node]
    assert any(op.startswith("SparseQLinearGemm") for op in operators)
    assert verify.run(outcome.report.path, against=folder).masked == outcome.report.masked


def test_samples_without_the_network_s_input_are_refused(pruned, tmp_path):
    folder, samples = tmp_path / "net", tmp_path / "samples.npz"
    pruned.save(folder)
    np.savez(samples, other=np.zeros(3))
    with pytest.raises(InvalidFileError, match=f"has no {pruned.plan.inputs[0].name}"):
        run(folder, calibration=CalibrationRequest(source=str(samples)), config=INT8)


def test_in_python_batches_are_given_as_example_inputs_are(pruned, tmp_path):
    x = noise(pruned, 4)
    batches = [{pruned.plan.inputs[0].name: x}, [x]]
    report = export_onnx(pruned, tmp_path / "a.onnx", values="int8", calibration=batches)
    again = export_onnx(pruned, tmp_path / "b.onnx", values="int8", calibration=[x])
    assert report.path.read_bytes() == again.path.read_bytes()


RECIPE = """
version: 2
seed: 3
model: {name: mlp, options: {widths: [8, 16, 16, 16]}}
data: {name: fake, shape: [8], classes: 4, train: 40, test: 8, validation: 8}
surgery: {density: 0.2, skip: none}
train: {epochs: 1, batch_size: 20, optimizer: {name: sgd, lr: 0.1}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SurgeryPlan]:
    """The folder of a run, and the plan of its network."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = folder / "r.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    outcome = train(TrainRequest(recipe=recipe, output=folder / "run"))
    assert outcome is not None
    return folder / "run", outcome.pruned.plan


def samples_of(request: CalibrationRequest, trained: tuple[Path, SurgeryPlan]) -> torch.Tensor:
    """All samples that a request gives."""
    folder, plan = trained
    batches = list(calibration_batches(request, folder, plan))
    assert {len(inputs) for inputs in batches[:-1]} <= {1}  # one input each
    return torch.cat([torch.as_tensor(each) for inputs in batches for each in inputs.values()])


def test_a_run_s_own_data_is_read_without_repetition_and_named_it_is_the_same(trained):
    samples = samples_of(CalibrationRequest(source="run"), trained)
    assert len(samples) == 32  # 40 less the validation samples
    assert len(samples.unique(dim=0)) == 32
    few = samples_of(CalibrationRequest(source="run", samples=11), trained)
    assert torch.equal(few, samples[:11])
    assert torch.equal(samples_of(CalibrationRequest(source="fake"), trained), samples)  # with the run's options


def test_a_folder_of_images_is_read_at_the_network_s_size(tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(5):
            levels = np.random.default_rng(number).integers(0, 255, (40, 40), np.uint8)
            Image.fromarray(levels).save(tmp_path / "images" / kind / f"{number}.png")
    plan = apply("cifar-plain17", density=0.1, skip="none").plan
    samples = samples_of(CalibrationRequest(source=str(tmp_path / "images"), samples=5), (tmp_path, plan))
    assert samples.shape == (5, 3, 32, 32)


def test_the_first_samples_of_a_file_can_be_taken(trained, tmp_path):
    given = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    name = trained[1].inputs[0].name
    np.savez(tmp_path / "s.npz", **{name: given})
    for samples, expected in ((None, 20), (8, 8), (11, 11), (50, 20)):
        request = CalibrationRequest(source=str(tmp_path / "s.npz"), samples=samples)
        assert np.array_equal(samples_of(request, trained), given[:expected])


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("run", "calibrate is 'run', and what is exported does not say which data it was trained on"),
        ("mnistt", "did you mean 'mnist'"),
        (__file__, "calibrate is the file '.*'; a file of inputs is an .npz file"),
        ("fake", r"calibrate is 'fake', whose samples have the shape \(3, 32, 32\); the network takes \[\(3072,\)\]"),
    ],
)
def test_data_that_is_not_known_or_does_not_fit_is_refused(pruned, tmp_path, source, error):
    with pytest.raises(CallerError, match=error):
        list(calibration_batches(CalibrationRequest(source=source), tmp_path, pruned.plan))


def test_no_samples_are_refused():
    with pytest.raises(UsageError, match="calibration_samples is 0; it must be at least 1"):
        CalibrationRequest(source="run", samples=0)


def test_calibration_samples_of_another_shape_are_refused_as_calibration(pruned, tmp_path):
    with pytest.raises(UsageError, match=r"^calibration has .* of shape \(4, 5\); the network takes"):
        export_onnx(pruned, tmp_path / "a.onnx", values="int8", calibration=[torch.zeros(4, 5)])


def test_a_percentile_is_for_calibrated_integers_alone(pruned, tmp_path):
    with pytest.raises(UsageError, match="percentile is for layers with integers, not for fp32"):
        ExportConfig(percentile=99)
    with pytest.raises(UsageError, match="percentile is for calibrated layers: give calibration data, too"):
        export_onnx(pruned, tmp_path / "a.onnx", values="int8", percentile=99)
