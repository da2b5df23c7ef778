"""n2nsurgery.evaluate, report and diff: the commands of these names, on objects."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import n2nsurgery
from n2nsurgery.core.errors import UsageError


class Fixed(nn.Module):
    """Scores that are the inputs."""

    def forward(self, x):
        return x


@pytest.fixture
def pruned():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    return n2nsurgery.apply(network, example_inputs=torch.zeros(2, 6), density=0.5, skip="none")


def test_a_module_is_evaluated_on_a_dataset_or_a_loader():
    data = TensorDataset(torch.eye(3), torch.tensor([0, 1, 0]))
    for given in (data, DataLoader(data, batch_size=2)):
        found = n2nsurgery.evaluate(Fixed(), given, batch_size=2, device="cpu")
        assert (found.split, found.samples, found.value("top1")) == ("test", 3, 2 / 3)


def test_an_evaluation_may_have_a_loss_and_metrics_of_ones_own():
    data = TensorDataset(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [1.0]]))
    found = n2nsurgery.evaluate(
        Fixed(), data, loss=nn.functional.l1_loss, metrics={"most": lambda outputs, _: outputs.max()}, device="cpu"
    )
    assert found.to_json() == {"loss": 1.0, "most": 3.0, "samples": 2}


def test_a_saved_artifact_is_evaluated_on_data_of_ones_own(pruned, tmp_path):
    pruned.save(tmp_path / "artifact")
    data = TensorDataset(torch.randn(10, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(10).long())
    with pytest.raises(UsageError, match="pass the dense model"):
        n2nsurgery.evaluate(tmp_path / "artifact", data)
    whole = n2nsurgery.evaluate(pruned, data, device="cpu")
    assert n2nsurgery.evaluate(pruned.module, data, device="cpu") == whole


def test_a_report_of_a_pruned_model_is_a_value_and_a_file(pruned, tmp_path):
    found = n2nsurgery.report(pruned, output=tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(found.to_json()))
    assert repr(found) == f"ConnectivityReport({found.headline!r})"
    with pytest.raises(UsageError, match=r"it must end in \.html or \.json or \.png"):
        n2nsurgery.report(pruned, output="report.txt")


def test_a_model_does_not_differ_from_itself(pruned):
    found = n2nsurgery.diff(pruned, pruned)
    assert [layer.overlap for layer in found.layers] == [1, 1]
    assert all(layer.a == layer.b for layer in found.layers)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "the network is of type int; give a pruned model"),
        (nn.Linear, r"Linear is a class; give an object of it, Linear\("),
    ],
)
def test_what_is_not_a_network_has_no_report_and_no_difference(given, message):
    with pytest.raises(UsageError, match=message):
        n2nsurgery.report(given)
    with pytest.raises(UsageError, match=message):
        n2nsurgery.diff(given, given)
