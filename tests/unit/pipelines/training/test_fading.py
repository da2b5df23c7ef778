"""Skips that fade in training: runs are exact, and what is loaded or exported is the original graph."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import n2nsurgery
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import call_states
from n2nsurgery.pipelines.deploy.verify import run as verify
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.fading import FadingConfig
from n2nsurgery.training.state.fading_branches import FadingBranches

RECIPE = """\
version: 2
model: {name: cifar-plain17}
data: {name: fake, shape: [3, 8, 8], classes: 4, train: 96, validation: 32, test: 32}
surgery: {density: 0.2}
train:
  epochs: 3
  batch_size: 16
  device: cpu
  schedule: {name: constant}
  optimizer: {lr: 0.01}
  skip_fade: {begin: 0.2, until: 0.8}
"""
N2N, RESIDUAL = "surgery.skip=n2n", "surgery.skip=residual"


@pytest.fixture
def train(train_recipe):
    return partial(train_recipe, RECIPE)


@given(begin=st.floats(0, 0.98), share=st.floats(0.01, 1), steps=st.integers(1, 500))
def test_strength_falls_from_one_to_exactly_zero(begin, share, steps):
    fading = FadingConfig(begin=begin, until=begin + share * (1 - begin))
    found = [fading.strength(step, steps) for step in range(steps + 1)]
    assert (found[0], found[-1]) == (1, 0)
    assert found == sorted(found, reverse=True)


class Sum(nn.Module):
    def forward(self, z, a):
        return z + a


def test_a_branch_is_whole_at_first_half_in_between_and_leaves_not_a_bit():
    network = nn.ModuleDict({"skip": Sum()})
    z, a = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)), torch.linspace(-2, 2, 5)
    fading = FadingBranches(network, ["skip"], FadingConfig(begin=0.25, until=0.75), steps=8)
    fading.at(2)
    assert torch.equal(network["skip"](z, a), z + a)
    fading.at(4)
    torch.testing.assert_close(network["skip"](z, a), z + a / 2)
    fading.close()
    fading.settle(network)
    assert torch.equal(network["skip"](z, a), z + a)  # it was stopped on its way
    fading = FadingBranches(network, ["skip"], FadingConfig(), steps=8)
    fading.at(6)
    assert fading.are_gone
    fading.close()
    fading.settle(network)
    assert torch.equal(network["skip"](z, a), z)


@pytest.mark.parametrize("overrides", [(N2N,), (RESIDUAL,), (N2N, "train.engine=sparse", "train.ema_decay=0.5")])
def test_what_is_loaded_and_exported_is_the_original_graph_and_computes_what_was_trained(overrides, train):
    outcome = train(*overrides, "export={}")
    dense = n2nsurgery.load("run/surgery")
    assert dense.plan.skips
    loaded = n2nsurgery.load("run", last=True)
    budget = dense.plan.budget
    assert (loaded.plan.skips, loaded.plan.budget.skips) == ((), 0)
    assert loaded.masks.kept == loaded.plan.budget.total == budget.total - budget.skips
    assert outcome.to_json()["surgery"]["nnz_total"] == loaded.masks.kept
    train("surgery.skip=none", "train.skip_fade=null", "train.epochs=1", "export={}", folder="plain")
    plain = n2nsurgery.load("plain")
    assert list(loaded.module.state_dict()) == list(plain.module.state_dict())
    assert [type(module) for module in loaded.module.modules()] == [type(module) for module in plain.module.modules()]
    loaded.save("bare")
    assert n2nsurgery.load("bare").masks == loaded.masks

    verify(Path("run/model.onnx"), against=Path("run"))
    files = [onnx.load(f"{folder}/model.onnx").graph for folder in ("run", "plain")]
    faded, never = ([(node.op_type, tuple(node.output)) for node in graph.node] for graph in files)
    assert faded == never


def test_only_epochs_without_skips_are_ranked_and_the_best_is_the_original_graph(train):
    outcome = train(N2N)
    assert outcome.trained is not None
    assert [record.score is None for record in outcome.trained.history] == [True, True, False]
    assert n2nsurgery.load("run").plan.skips == ()


def test_a_run_that_was_stopped_while_skips_faded_goes_on_to_the_same_bits(train):
    train(N2N, folder="whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("n2nsurgery.training.loop.trainer.Trainer._record", _die)
        with pytest.raises(KeyboardInterrupt):
            train(N2N)
    assert n2nsurgery.load("run", last=True).plan.skips
    train(N2N, resume="auto")
    one, other = n2nsurgery.load("run", last=True), n2nsurgery.load("whole", last=True)
    assert all(torch.equal(value, other.module.state_dict()[name]) for name, value in one.module.state_dict().items())


def _die(_trainer, _results, _seconds):
    raise KeyboardInterrupt


@pytest.mark.parametrize("engine", ["hooks", "rewrite"])
def test_a_python_model_computes_without_its_skips_afterwards_as_what_is_loaded_does(tmp_path, engine):
    widths = (8, 16, 16, 16, 16, 2)
    layers = [part for n, m in pairwise(widths) for part in (nn.Linear(n, m), nn.ReLU())][:-1]
    network, x = nn.Sequential(*layers), torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long())
    pruned = n2nsurgery.apply(network, example_inputs=x[:2], density=0.5, engine=engine)
    assert pruned.plan.skips
    options = {"epochs": 2, "batch_size": 16, "device": "cpu", "skip_fade": FadingConfig()}
    n2nsurgery.train(pruned, data, folder=tmp_path / "run", **options)
    loaded = n2nsurgery.load(tmp_path / "run", model=network)
    assert loaded.plan.skips == ()
    resumed = n2nsurgery.apply(network, example_inputs=x[:2], density=0.5, engine=engine)
    n2nsurgery.train(resumed, data, folder=tmp_path / "run", resume=True, **options)  # nothing is left to train

    for trained in (pruned, resumed):
        with pytest.raises(UsageError, match=r"skips of the module have faded.*present\(\)"):
            trained.save(tmp_path / "saved")
        with pytest.raises(UsageError, match=r"skips of the module have faded.*present\(\)"):
            n2nsurgery.export_onnx(trained, tmp_path / "model.onnx")
        with pytest.raises(UsageError, match=r"skips of the module have faded.*present\(\)"):
            trained.plain()
        present = trained.present()
        assert (present.plan, present.masks) == (loaded.plan, loaded.masks)
        assert list(present.module.state_dict()) == list(network.state_dict())
        assert not list(call_states(present.module))
        present.module.load_state_dict(present.module.state_dict())
        present.save(tmp_path / "saved", overwrite=True)
        saved = n2nsurgery.load(tmp_path / "saved", model=network)
        with torch.no_grad():
            outputs = [each.module.eval()(x) for each in (loaded, trained, present, saved)]
        assert all(torch.equal(output, outputs[0]) for output in outputs)
    again = present.present()
    assert (again.module, again.plan) == (present.module, present.plan)

    bare = n2nsurgery.apply(network, example_inputs=x[:2], density=0.5, skip="none")
    with pytest.raises(UsageError, match="skip_fade is given, and the network has no skips that could fade"):
        n2nsurgery.train(bare, data, folder=tmp_path / "other", **options)


def test_values_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match=r"skip_fade\.begin is 0\.8; it must be below skip_fade\.until, 0\.5"):
        FadingConfig(begin=0.8, until=0.5)
    with pytest.raises(UsageError, match=r"skip_fade is .* it must be left out with compile"):
        TrainConfig(compile=True, skip_fade=FadingConfig())
