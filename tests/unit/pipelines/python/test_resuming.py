"""What a resumed run has to have in common with its first part, and what of an optimizer's own state it finds again."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import n2nsurgery
from n2nsurgery.core.errors import InterruptionError, UsageError
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.loop.events import Callbacks


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


def network(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def train(folder, *, stop_at=None, **options):
    """The module, after the run in `folder`; stopped after step `stop_at`."""
    generator, model = torch.Generator().manual_seed(1), network()
    data = TensorDataset(torch.randn(24, 6, generator=generator), torch.randint(3, (24,), generator=generator))

    def stop(progress):
        if progress.step == stop_at:
            os.kill(os.getpid(), 15)

    heard = Callbacks(on_step=stop)
    n2nsurgery.train(model, data, folder=folder, epochs=2, batch_size=8, device="cpu", callbacks=heard, **options)
    return model


class Counting(torch.optim.SGD):
    """Steps that depend on numbers of its parameter groups, there at first or later, and of its state."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=0.1)
        self.param_groups[0].update(k=0, means=[1.0, 2.0], warm=True)

    def step(self, closure=None):
        [group] = self.param_groups
        group["k"] += 1
        group["means"][1] /= 3
        group["warm"] = False
        group["later"] = group.get("later", 0.1) / 3
        for parameter in group["params"]:
            own = self.state[parameter]
            own["steps"] = own.get("steps", 0) + 1
            own["scale"] = own.get("scale", 1.0) / 3
            assert (type(own["steps"]), type(own["scale"]), type(group["k"])) == (int, float, int)
            factor = group["means"][1] + group["later"] + own["scale"] / own["steps"] + group["k"]
            parameter.grad *= factor
        return super().step(closure)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": Counting},
        {"optimizer": Counting, "scheduler": lambda made: torch.optim.lr_scheduler.StepLR(made, 1)},
        {"optimizer": OptimizerConfig(name="nadam", lr=0.01, options={"betas": (0.8, 0.99)})},
        {"loss_options": {"class_weights": (1.0, 2.0, 1.0)}},
    ],
)
@pytest.mark.parametrize("stop_at", [2, 4])
def test_the_same_call_goes_on_to_the_same_bits(tmp_path, options, stop_at):
    expected = train(tmp_path / "whole", **options).state_dict()
    with pytest.raises(InterruptionError):
        train(tmp_path / "run", stop_at=stop_at, **options)
    found = train(tmp_path / "run", resume=True, **options).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def same(outputs, targets):
    return (outputs.argmax(1) == targets).float().mean()


@pytest.mark.parametrize(
    ("others", "difference"),
    [
        ({"teacher": network(2)}, "the teacher is another one"),
        ({"teacher": nn.Linear(6, 3)}, "the teacher is another one"),
        ({"teacher": None}, "the teacher is another one, or there is one in only one of the two"),
        ({"metrics": {"share": same}}, r"metrics was \('right',\) and is \('share',\)"),
        ({"metrics": {}}, r"metrics was \('right',\) and is \(\)"),
    ],
)
def test_a_run_does_not_go_on_with_another_teacher_or_other_metrics(tmp_path, others, difference):
    options = {"teacher": network(1), "metrics": {"right": same}}
    with pytest.raises(InterruptionError):
        train(tmp_path, stop_at=2, **options)
    with pytest.raises(UsageError, match=difference):
        train(tmp_path, resume=True, **{**options, **others})
    train(tmp_path, resume=True, **options)
