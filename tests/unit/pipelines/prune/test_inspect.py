from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery import apply, inspect
from n2nsurgery.core.errors import InvalidFileError, UnknownNameError, UsageError
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.models.weights_config import WeightsConfig
from n2nsurgery.pipelines.prune.apply import run as run_apply
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.pipelines.prune.inspect import ArtifactInspection, Inspection, run
from n2nsurgery.surgery.planning.config import SurgeryConfig


class Mixed(nn.Module):
    """Five convolutions with ReLU, the last but one of which is gated by RReLU, then a linear bottleneck."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if index == 0 else 4, 4, 3, padding=1) for index in range(5))
        self.bottleneck = nn.Conv2d(4, 2, 1)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        for index, conv in enumerate(self.convs):
            x = conv(x)
            x = nn.functional.rrelu(x) if index == 3 else torch.relu(x)
        return self.head(self.bottleneck(x).mean((2, 3)))


X = torch.zeros(2, 3, 8, 8)


@pytest.fixture
def inspection() -> Inspection:
    return inspect(Mixed(), example_inputs=X)


def document(inspection: Inspection | ArtifactInspection) -> dict:
    return json.loads(json.dumps(inspection.to_json(), allow_nan=False))


def test_every_weighted_layer_is_shown_with_its_numbers(inspection):
    shown = document(inspection)
    names = [*(f"convs.{index}" for index in range(5)), "bottleneck", "head"]
    assert [layer["name"] for layer in shown["layers"]] == names
    assert [layer["weights"] for layer in shown["layers"]] == [108, 144, 144, 144, 144, 8, 6]
    assert [layer["macs"] for layer in shown["layers"]] == [64 * w for w in (108, 144, 144, 144, 144, 8)] + [6]
    assert shown["reference_weights"] == 698
    assert shown["macs"] == 64 * 692 + 6
    assert shown["model"] == "Mixed"


def test_pairs_have_their_length_and_their_capacity(inspection):
    shown = document(inspection)
    assert {(pair["source"], pair["target"], pair["length"]) for pair in shown["pairs"]} == {
        ("convs.1", "convs.4", 3),
        ("convs.2", "bottleneck", 3),
    }
    assert [pair["capacity"] for pair in shown["pairs"]] == [16, 8]
    assert shown["skip_capacity"] == 24
    assert shown["candidate_pairs"] >= 2
    assert shown["skip_length"] == 3


def test_everything_that_is_refused_has_its_reason(inspection):
    refused = document(inspection)["refused"]
    assert {"source": "bottleneck", "target": "", "reason": "no activation follows it"} in refused
    assert any(r["target"] == "convs.3" and "RReLU draws its slope at random" in r["reason"] for r in refused)
    assert all(refusal["reason"] for refusal in refused)


def test_a_selection_chooses_the_pairs():
    shorter = inspect(Mixed(), example_inputs=X, skip_length=2)
    assert {pair.length for pair in shorter.pairs} == {2}
    everything = inspect(Mixed(), example_inputs=X, pairs="all", include_classifier=True)
    assert "head" in {pair.target for pair in everything.pairs}
    with pytest.raises(UnknownNameError, match=r"did you mean 'convs\.0'"):
        inspect(Mixed(), example_inputs=X, include=("conv.0",))


def test_inspecting_changes_nothing():
    model = Mixed()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inspect(model, example_inputs=X)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training


def test_a_model_is_inspected_by_name():
    shown = document(run("mlp", pairs="all", include_classifier=True))
    assert shown["model"] == "mlp"
    assert [layer["out_channels"] for layer in shown["layers"]] == [512, 256, 128, 64]
    assert shown == document(inspect("mlp", pairs="all", include_classifier=True))


def test_options_of_the_command_reach_the_model():
    shown = document(run("cifar-vgg19", num_classes=7, input_size=(3, 48, 48), skip_length=2))
    assert shown["layers"][-1]["out_channels"] == 7
    assert shown["layers"][0]["output"] == [64, 48, 48]
    assert {pair["length"] for pair in shown["pairs"]} == {2}


def test_weights_of_a_file_are_looked_for_by_key_and_prefix_and_have_to_fit(tmp_path):
    path = tmp_path / "run.pth"
    state = resolve_model("mlp", seed=3).module.state_dict()
    torch.save({"ema": {f"net.{name}": value for name, value in state.items()}}, path)
    found = WeightsConfig(weights=str(path), weights_key="ema", weights_prefix="net.")
    assert document(run("mlp", weights=found)) == document(run("mlp"))
    with pytest.raises(InvalidFileError, match="the weights"):
        run("cifar-vgg19", weights=found)


def test_an_artifact_is_shown_as_apply_printed_it(tmp_path):
    outcome = run_apply(
        ApplyRequest(model="mlp", surgery=SurgeryConfig(density=0.05, criterion="snip"), output=tmp_path / "artifact")
    )
    printed = json.loads(json.dumps(outcome.to_json()))
    assert document(run(str(tmp_path / "artifact"))) | {"already_there": False} == printed


def test_an_artifact_of_an_object_is_shown_without_it(tmp_path):
    apply(Mixed(), density=0.5, example_inputs=X).save(tmp_path / "artifact")
    assert document(run(str(tmp_path / "artifact")))["model"] == "Mixed"


def test_a_damaged_artifact_is_an_invalid_file(tmp_path):
    apply(Mixed(), density=0.5, example_inputs=X).save(tmp_path / "artifact")
    (tmp_path / "artifact" / "plan.json").unlink()
    with pytest.raises(InvalidFileError, match=r"plan\.json' is missing"):
        run(str(tmp_path / "artifact"))


def test_what_is_neither_a_model_nor_an_artifact_is_said(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown model 'mpl'; did you mean 'mlp'"):
        run("mpl")
    with pytest.raises(UsageError):
        run(str(tmp_path))


def test_progress_names_the_model():
    seen = []
    run("mlp", progress=lambda *step: seen.append(step))
    assert [stage for stage, _ in seen] == ["building mlp", "tracing"]


@pytest.mark.parametrize(
    ("options", "field"),
    [({"skip_length": 2}, "skip_length"), ({"num_classes": 3}, "num_classes"), ({"download": True}, "download")],
)
def test_options_of_a_model_are_refused_for_a_file(options, field):
    with pytest.raises(UsageError, match=f"{field} is for a model by its name; a file is shown as it is"):
        run("some.onnx", **options)
