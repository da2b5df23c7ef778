"""A loss, a data set and a criterion of a user's own, in one file beside the recipe: named there, and in Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import n2nsurgery
from n2nsurgery import plugins, registries
from n2nsurgery.core.registry import Registry

MINE = '''
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from n2nsurgery import register
from n2nsurgery.masks.criteria.magnitude import Magnitude


@register.loss("focal")
@dataclass(frozen=True, kw_only=True)
class Focal:
    gamma: float = 2.0

    def __call__(self, outputs, targets):
        sure = F.log_softmax(outputs, dim=1).gather(1, targets[:, None])
        return -((1 - sure.exp()) ** self.gamma * sure).mean()

    def samples(self, targets):
        return targets.shape[0]


@register.criterion("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Magnitude):
    """The magnitude, by another name."""


def points(classes=3, samples=30, seed=0):
    """Points around the corners of a simplex."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(samples) % classes
    inputs = F.one_hot(targets, 8) + 0.1 * torch.randn(samples, 8, generator=generator)
    data = TensorDataset(inputs, targets)
    return {"train": data, "test": data}
'''
RECIPE = """
version: 2
plugins: [mine]
model: {name: mlp, options: {widths: [8, 8]}}
data: {name: "mine:points", samples: 60}
surgery: {density: 0.5, criterion: mine, skip: none}
train: {epochs: 1, batch_size: 15, loss: focal, loss_options: {gamma: 1.5}, device: cpu}
"""


@pytest.fixture(autouse=True)
def beside(here, monkeypatch):
    """The file and the recipe in an empty folder; whatever was imported and registered is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("mine.py").write_text(MINE)
    Path("mine.yaml").write_text(RECIPE.lstrip())
    yield here
    plugins._IMPORTED.clear()
    sys.modules.pop("mine", None)
    for registry in vars(registries).values():
        if isinstance(registry, Registry):
            registry._registered.clear()


def test_a_recipe_trains_with_all_of_them_where_that_is_allowed(program):
    refused = program("train", "mine.yaml", "--output", "run", "--quiet", "--plugin", "mine")
    assert refused.code == 2
    assert "data.name: 'mine:points' is code, which is imported and run; allow it with --allow-import" in refused.stderr
    trained = program("train", "mine.yaml", "--output", "run", "--quiet", "--allow-import")
    assert trained.code == 0, trained.stderr
    measured = json.loads(program("eval", "run", "--json", "--allow-import").stdout)
    assert (measured["samples"], measured["top1"]) == (60, pytest.approx(measured["top1"]))
    other = program("eval", "run", "--data", "mine:points", "--set", "data.samples=9", "--json", "--plugin", "mine",
                    "--allow-import")  # fmt: skip
    assert json.loads(other.stdout)["samples"] == 9
    assert program("eval", "run", "--data", "mine:points", "--plugin", "mine").code == 2


def test_a_stopped_run_on_own_data_goes_on_to_the_same_weights(program):
    whole = program("train", "mine.yaml", "-o", "whole", "-q", "--allow-import", "--set", "train.epochs=2")
    part = program("train", "mine.yaml", "-o", "part", "-q", "--allow-import")
    assert (whole.code, part.code) == (0, 0)
    more = ("train", "mine.yaml", "-o", "part", "-q", "--allow-import", "--resume", "--allow-changes")
    assert program(*more, "--set", "train.epochs=2").code == 0
    one, other = (n2nsurgery.load(name, last=True).module.state_dict() for name in ("whole", "part"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_python_takes_the_same_as_objects():
    sys.path.insert(0, str(Path.cwd()))
    import mine

    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    pruned = n2nsurgery.apply(net, density=0.5, skip="none", criterion=mine.Mine(), example_inputs=torch.zeros(2, 8))
    data = mine.points()["train"]
    outcome = n2nsurgery.train(pruned, data, folder="run", loss=mine.Focal(), epochs=1, batch_size=15, device="cpu")
    assert outcome.steps == 2
    assert pruned.plan.config.criterion == "mine"


def test_help_lists_what_a_plugin_registers(program):
    assert "mine:Mine" not in program("apply", "--help").stdout
    assert "mine:Mine" in program("apply", "--help", "--plugin", "mine").stdout


def test_completion_offers_what_a_plugin_registers(program, monkeypatch):
    monkeypatch.setenv("_N2NSURGERY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "n2nsurgery apply --plugin mine --criterion mi")
    monkeypatch.setenv("COMP_CWORD", "5")
    assert program().stdout.split() == ["mine"]


def test_a_plugin_that_fails_is_wrong_usage(program):
    Path("broken.py").write_text("1 / 0")
    refused = program("apply", "mlp", "--density", "0.1", "--plugin", "broken")
    assert refused.code == 2
    assert "the plugin 'broken' fails while it is imported: ZeroDivisionError: division by zero" in refused.stderr
