"""Masks that move in training: the budget after every step, what is new and what is gone, and runs that were killed."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from n2nsurgery.core.errors import UnknownNameError, UsageError, VerificationError
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.masks.attachment import apply_masks, enforcer_of
from n2nsurgery.masks.kept_values import kept_layers
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.pipelines.sparse_twins import sparse_twin
from n2nsurgery.sparse_training.functions import convolution
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.dynamics.set import SparseEvolution
from n2nsurgery.training.engine.choice import EngineRequest
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.components import components_of
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training
from n2nsurgery.training.loop.step import optimizer_step
from n2nsurgery.training.loop.train_state import TrainState
from n2nsurgery.training.schedules import Span
from n2nsurgery.training.state.checkpoints import best_checkpoint
from n2nsurgery.training.state.saved_state import Position

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("library")

RULES = {
    "set": {"name": "set", "every": 2},
    "itop": {"name": "itop", "every": 2},
    "rigl": {"name": "rigl", "every": 2},
    "rigl, global": {"name": "rigl", "every": 2, "options": {"scope": "global"}},
    "gmp": {"name": "gmp", "every": 2, "final": 0.4},
    "gmp, by layer": {"name": "gmp", "every": 2, "final": 0.4, "options": {"scope": "layer"}},
}
CASES = [(rule, engine) for rule in RULES for engine in ("dense", "sparse")]


class Killed(BaseException):
    """Nothing after this moment happens."""


@pytest.fixture
def state_of(convnet, masks_of, config):
    """A training under way, and its masks at the start."""

    def state_of(rule, engine="dense", model=None, **changes):
        model = convnet() if model is None else model
        masks = masks_of(model)
        fields = {"ema_decay": 0.9, "engine": engine, "dynamics": DynamicsConfig(**RULES[rule]), **changes}
        asked, world = config(**fields), SingleProcess(device=CPU)
        request = EngineRequest(config=asked, processes=world, make=sparse_twin, pruned=True, foreign_optimizer=False)
        return TrainState(
            model, asked, components_of(asked), world, masks, Span(steps_per_epoch=10, epochs=asked.epochs), request
        ), masks

    return state_of


@pytest.fixture
def train(convnet, blobs, masks_of, config):
    """Train a small network with everything that has state; its outcome, and the module."""

    def train(folder, rule, engine="dense", *, resume=False, callbacks=None, **changes):
        model = convnet()
        fields = {"accumulate": 2, "clip_norm": 1.0, "ema_decay": 0.9, "checkpoint_steps": 1, **changes}
        outcome = run_training(
            model,
            TrainData(
                train=blobs(11, size=4, shape=(2, 4, 4)),
                evaluations={"validation": blobs(2, size=8, shape=(2, 4, 4))},
            ),
            config(engine=engine, dynamics=DynamicsConfig(**RULES[rule]), **fields),
            folder=folder,
            masks=masks_of(model),
            resume=resume,
            callbacks=callbacks,
            twins=sparse_twin,
        )
        return outcome, model

    return train


def total(masks):
    return sum(int(mask.sum()) for mask in masks.values())


@pytest.mark.parametrize(("rule", "engine"), CASES)
def test_the_budget_is_exact_after_every_step_and_what_is_new_starts_at_zero(rule, engine, state_of, blobs):
    state, masks = state_of(rule, engine)
    assert state.engine.record.use.name == engine
    before, start = dict(masks), total(masks)
    moved = 0
    for step, pair in enumerate(blobs(10, shape=(2, 4, 4)).epoch(0)):
        optimizer_step(state, [pair], position=Position(batch=step, step=step))
        state.require_sound(step)
        tensors, now = state.tensors(), state.moving.masks
        assert total(now) == state.moving.rule.kept(start, step + 1, state.moving.span)
        for name, mask in now.items():
            new, gone = mask & ~before[name], before[name] & ~mask
            moved += int(gone.sum())
            assert state.moving.is_due(step + 1) or not (new.any() or gone.any())
            for values in (
                tensors["model"][name], tensors["optimizer"][f"{name}/momentum_buffer"], tensors["average"][name]
            ):  # fmt: skip
                assert not values[~mask].any()
                assert not values[new].any()
            if state.moving.rule.keeps_counts:
                assert mask.sum() == masks[name].sum()
        before = now
    assert moved > 0


@pytest.mark.parametrize("rule", RULES)
def test_the_sparse_engine_moves_as_the_dense_one_does(rule, state_of, mlp, blobs):
    found = []
    for engine in ("dense", "sparse"):
        state, _ = state_of(rule, engine, model=mlp())
        for step, pair in enumerate(blobs(5).epoch(0)):  # two moves; roundings exchange no two magnitudes in five steps
            optimizer_step(state, [pair], position=Position(batch=step, step=step))
        found.append(state.moving.masks.fingerprint)
    assert found[0] == found[1]


@pytest.mark.parametrize(("rule", "engine"), CASES)
@pytest.mark.parametrize("step", [1, 4, 9])
def test_a_run_killed_after_any_step_resumes_bit_identically(rule, engine, step, train, tmp_path, same):
    def die(progress):
        if progress.step == step:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "killed", rule, engine, callbacks=Callbacks(on_step=die))
    (resumed, one), (whole, other) = (
        train(tmp_path / "killed", rule, engine, resume=True), train(tmp_path / "whole", rule, engine)
    )  # fmt: skip
    assert same(resumed, whole)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


SCRIPT = """
import importlib.util, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
specification = importlib.util.spec_from_file_location("conftest", sys.argv[2])
tools = importlib.util.module_from_spec(specification)
specification.loader.exec_module(tools)
from n2nsurgery.sparse_training.functions import convolution
from n2nsurgery.pipelines.sparse_twins import sparse_twin
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training

model = tools.convolutional()
run_training(
    model, TrainData(train=tools.Blobs(5, size=4, shape=(2, 4, 4))),
    tools.train_config(checkpoint_steps=1, dynamics=DynamicsConfig(name="rigl", every=2), engine="sparse"),
    folder=Path(sys.argv[1]), masks=tools.random_masks(model), twins=sparse_twin,
    callbacks=Callbacks(on_step=lambda step: step.step == 5 and os.kill(os.getpid(), signal.SIGKILL)),
)
"""


def test_a_process_that_was_really_killed_goes_on_with_the_masks_that_it_had(
    convnet, blobs, masks_of, config, tmp_path, same
):
    def run(folder, *, resume):
        model = convnet()
        data = TrainData(train=blobs(5, size=4, shape=(2, 4, 4)))
        asked = config(checkpoint_steps=1, dynamics=DynamicsConfig(name="rigl", every=2), engine="sparse")
        masks = masks_of(model)
        return run_training(model, data, asked, folder=folder, masks=masks, resume=resume, twins=sparse_twin)

    tools = Path(__file__).parents[1] / "conftest.py"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed"), str(tools)]
    assert subprocess.run(command, check=False, env=dict(os.environ)).returncode == -signal.SIGKILL
    assert same(run(tmp_path / "killed", resume=True), run(tmp_path / "whole", resume=False))


def test_a_pruned_module_has_the_last_masks_and_lets_no_other_weight_move(convnet, blobs, masks_of, config, tmp_path):
    for engine in ("dense", "sparse"):
        model = convnet()
        start = MaskSet(masks_of(model))
        apply_masks(model, start)
        run_training(
            model,
            TrainData(train=blobs(5, size=4, shape=(2, 4, 4))),
            config(engine=engine, dynamics=DynamicsConfig(name="set")),
            folder=tmp_path / engine,
            twins=sparse_twin,
        )
        masks = enforcer_of(model).masks
        assert masks != start
        assert total(masks) == total(start)
        model(torch.ones(4, 2, 4, 4)).sum().backward()
        for name, mask in masks.items():
            assert not model.get_parameter(name)[~mask].any()
            assert not model.get_parameter(name).grad[~mask].any()


def test_checkpoints_are_ranked_once_the_final_number_is_reached(train, tmp_path, tensors_of):
    outcome, _ = train(tmp_path, "gmp", epochs=4, keep_best=9, keep_last=9)
    assert [record.score is None for record in outcome.history] == [True, True, False, False]
    kept = sum(int(value.count_nonzero()) for (group, _), value in tensors_of(best_checkpoint(tmp_path)).items()
               if group == "masks")  # fmt: skip
    assert kept > 0
    assert best_checkpoint(tmp_path).name >= "e00003"


def test_gradients_of_all_weights_are_summed_in_the_steps_of_an_exchange_alone(state_of, blobs, monkeypatch):
    state, masks = state_of("rigl", "sparse", accumulate=2)
    calls = []
    summed = convolution.add_full_gradient
    monkeypatch.setattr(
        convolution, "add_full_gradient", lambda total, *rest: calls.append(len(total)) or summed(total, *rest)
    )
    counts = []
    for step in range(4):
        pairs = list(blobs(4, shape=(2, 4, 4)).epoch(step))[:2]
        optimizer_step(state, pairs, position=Position(batch=2 * step, step=step))
        counts.append(len(calls))
    assert counts == [0, 6, 6, 12]  # three layers, two batches
    assert sorted(calls[:3]) == sorted(mask.numel() for mask in masks.values())
    assert all(layer.full_gradient is None for layer in kept_layers(state.module).values())


def test_weights_that_are_fixed_or_frozen_keep_their_masks(state_of, blobs):
    state, masks = state_of(
        "gmp", freeze=("0",), dynamics=DynamicsConfig(name="gmp", every=1, final=0.5, fixed=("7.weight",))
    )
    for step, pair in enumerate(blobs(10, shape=(2, 4, 4)).epoch(0)):
        optimizer_step(state, [pair], position=Position(batch=step, step=step))
    now = state.moving.masks
    assert all(torch.equal(now[name], masks[name]) for name in ("0.weight", "7.weight"))
    assert not torch.equal(now["4.weight"], masks["4.weight"])


def test_what_cannot_be_done_is_refused_with_its_reason(state_of, blobs, mlp, config, tmp_path):
    with pytest.raises(UsageError, match="dynamics is given, and no pruned weight takes part: prune the model first"):
        run_training(mlp(), TrainData(train=blobs(2)), config(dynamics=DynamicsConfig(name="set")), folder=tmp_path)
    with pytest.raises(UnknownNameError, match="weight pattern 'nothing'"):
        state_of("set", dynamics=DynamicsConfig(name="set", fixed=("nothing",)))
    with pytest.raises(UnknownNameError, match=r"dynamics\.name is 'regl'; it must be one of"):
        DynamicsConfig(name="regl")
    with pytest.raises(UnknownNameError, match="option of the dynamics 'set' in dynamics 'final'"):
        DynamicsConfig(name="set", final=0.5).rule()
    with pytest.raises(UsageError, match=r"dynamics\.every is 0; it must be a whole number from 1"):
        DynamicsConfig(name="set", every=0)
    state, _ = state_of("gmp", dynamics=DynamicsConfig(name="gmp", every=1, final=0.1, fixed=("0.*", "4.*")))
    pair = next(blobs(1, shape=(2, 4, 4)).epoch(0))
    with pytest.raises(UsageError, match=r"raise dynamics\.final"):
        optimizer_step(state, [pair], position=Position(step=14))


def test_a_rule_that_keeps_another_number_is_found(state_of, blobs, monkeypatch):
    def one_too_few(_self, weights, _moment):
        return {name: weight.places[:-1] for name, weight in weights.items()}

    monkeypatch.setattr(SparseEvolution, "places", one_too_few)
    state, _ = state_of("set")
    pair = next(blobs(1, shape=(2, 4, 4)).epoch(0))
    with pytest.raises(VerificationError, match=r"SparseEvolution keeps .* after step 2, and its own number is"):
        optimizer_step(state, [pair], position=Position(step=1))


def test_a_weight_that_is_used_twice_moves_as_one(blobs, masks_of, config, tmp_path, tensors_of):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
            self.second.weight = self.first.weight
            self.last = nn.Linear(8, 3)

        def forward(self, x):
            return self.last(self.second(self.first(x).relu()).relu())

    for engine in ("dense", "sparse"):
        model = Tied()
        outcome = run_training(
            model,
            TrainData(train=blobs(4)),
            config(engine=engine, ema_decay=0.9, dynamics=DynamicsConfig(name="set", every=1)),
            folder=tmp_path / engine,
            masks=masks_of(model),
            twins=sparse_twin,
        )
        tensors = tensors_of(outcome.last)
        for group in ("model", "average"):
            kept = tensors[group, "first.weight"] != 0
            assert kept.sum() <= masks_of(model)["first.weight"].sum()
            assert torch.equal(tensors[group, "first.weight"], tensors[group, "second.weight"])
        assert outcome.history[-1].engine.name == engine
        assert math.isfinite(outcome.history[-1].loss)


def test_a_run_with_other_dynamics_is_another_run(train, tmp_path, caplog):
    train(tmp_path, "set", epochs=1)
    with caplog.at_level(logging.WARNING), pytest.raises(UsageError, match=r"config\.dynamics\.name was 'set' and is"):
        train(tmp_path, "itop", epochs=1, resume=True)
    with pytest.raises(UsageError, match=r"config\.epochs was 1 and is 2"):
        train(tmp_path, "set", epochs=2, resume=True)
