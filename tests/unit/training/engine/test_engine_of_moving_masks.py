"""The engine of a run whose layers lose weights: chosen anew at every epoch, exact when resumed, and told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.masks.attachment import apply_masks, enforcer_of
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.pipelines.sparse_twins import sparse_twin
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.engine.choice import EngineRequest
from n2nsurgery.training.engine.record import EngineRecord, EngineUse
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training
from n2nsurgery.training.schedules import Span

pytestmark = pytest.mark.usefixtures("library")

GMP = DynamicsConfig(name="gmp", every=2, final=0.3)
CHANGE = 1  # epochs after which few enough weights are left
SPAN = Span(steps_per_epoch=4, epochs=5)


class Killed(BaseException):
    """Nothing after this moment happens."""


def by_density(module, masks, request):
    """Layers with at most half of their weights are sparse: of so small a network none is predicted to be faster."""
    kept = {name.removesuffix(".weight"): float(mask.float().mean()) for name, mask in masks.items()}
    named = tuple(name for name, density in kept.items() if density <= 0.5)
    layers = named if request.layers == "auto" else request.layers
    return sparse_twin(module, masks, replace(request, layers=layers))


@pytest.fixture
def train(convnet, blobs, config):
    """Train a small network from all of its weights to 30 % of them, 20 steps in 5 epochs; the outcome, the module."""

    def train(folder, *, resume=False, callbacks=None, pruned=False, **changes):
        model = convnet()
        masks = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters() if p.ndim > 1}
        if pruned:
            apply_masks(model, MaskSet(masks))
        fields = {"epochs": 5, "accumulate": 2, "clip_norm": 1.0, "ema_decay": 0.9, "checkpoint_steps": 1, **changes}
        outcome = run_training(
            model,
            TrainData(
                train=blobs(7, size=4, shape=(2, 4, 4)),
                evaluations={"validation": blobs(2, size=8, shape=(2, 4, 4))},
            ),
            config(dynamics=GMP, **fields),
            folder=folder,
            masks=None if pruned else masks,
            resume=resume,
            callbacks=callbacks,
            twins=by_density,
        )
        return outcome, model

    return train


def engines_in(folder):
    return [json.loads(line)["engine"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("pruned", [False, True])
def test_a_run_goes_over_to_the_sparse_engine_where_few_weights_are_left_and_says_so(train, tmp_path, pruned):
    told = []
    outcome, model = train(tmp_path / "auto", pruned=pruned, callbacks=Callbacks(on_engine=told.append))
    used = engines_in(tmp_path / "auto")
    assert [each["name"] for each in used] == ["dense"] * CHANGE + ["sparse"] * (5 - CHANGE)
    assert used[0] == {"name": "dense", "sparse_layers": 0, "layers": 3, "predicted_gain": None}
    assert used[-1]["sparse_layers"] == 3
    assert [event.record.use.name for event in told[:2]] == ["dense", "sparse"]
    assert told[1].record.reason.startswith("predicted after step ")
    assert outcome.engine.is_sparse
    dense, other = train(tmp_path / "dense", engine="dense", pruned=pruned)
    for one, two in zip(outcome.history, dense.history, strict=True):
        assert one.loss == pytest.approx(two.loss, abs=1e-4)  # 20 steps, rounded otherwise
    kept = sum(int(value.count_nonzero()) for name, value in model.state_dict().items() if "weight" in name and
               value.ndim > 1)  # fmt: skip
    assert kept == round(0.3 * sum(p.numel() for p in other.parameters() if p.ndim > 1))
    assert not pruned or enforcer_of(model).masks.kept == kept


@pytest.mark.parametrize("step", [7, 13])
def test_a_run_killed_after_any_step_resumes_bit_identically_over_the_change(train, tmp_path, step, same):
    def die(progress):
        if progress.step == step:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "killed", callbacks=Callbacks(on_step=die))
    (resumed, one), (whole, other) = train(tmp_path / "killed", resume=True), train(tmp_path / "whole")
    assert same(resumed, whole)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert engines_in(tmp_path / "killed") == engines_in(tmp_path / "whole")


def test_an_epoch_that_is_evaluated_again_after_a_kill_changes_its_engine_as_if_there_had_been_none(
    train, tmp_path, monkeypatch, same
):
    def die(_trainer):
        raise Killed

    whole, _ = train(tmp_path / "whole", evaluate_every=CHANGE)
    with monkeypatch.context() as patch:
        patch.setattr("n2nsurgery.training.loop.trainer.Trainer._evaluate", die)
        with pytest.raises(Killed):
            train(tmp_path / "killed", evaluate_every=CHANGE)
    resumed, _ = train(tmp_path / "killed", evaluate_every=CHANGE, resume=True)
    assert same(resumed, whole)
    assert engines_in(tmp_path / "killed") == engines_in(tmp_path / "whole")


def asked(config, dynamics, **fields):
    given = {"make": sparse_twin, "pruned": True, "foreign_optimizer": False, "span": SPAN, **fields}
    world = given.pop("processes", SingleProcess(device=torch.device("cpu")))
    return EngineRequest(config=config(dynamics=dynamics, **given.pop("changes", {})), processes=world, **given)


def test_several_processes_are_dense_until_numbers_stay_as_they_are(config):
    both = SingleProcess(device=torch.device("cpu"), size=2)
    reason = "dynamics gmp still changes how many weights a layer keeps, which needs a single process"
    assert asked(config, GMP, processes=both).refusal() == reason
    assert asked(config, GMP, processes=both, step=14).refusal() == reason
    assert asked(config, GMP, processes=both, step=15).refusal() is None  # three quarters of 20 steps
    with pytest.raises(UsageError, match=f"engine is 'sparse', and {reason}"):
        asked(config, GMP, processes=both, changes={"engine": "sparse"}).refusal()
    assert asked(config, DynamicsConfig(name="rigl", every=2), processes=both).refusal() is None


def test_the_choice_is_made_again_only_after_epochs_in_which_numbers_changed(config):
    assert [step for step in range(0, 21, 4) if asked(config, GMP, step=step).is_asked_again()] == [4, 8, 12, 16]
    assert not asked(config, DynamicsConfig(name="set"), step=8).is_asked_again()
    assert not asked(config, GMP, step=8, changes={"engine": "sparse"}).is_asked_again()


def test_gradients_of_all_weights_count_in_the_prediction(config):
    model = torch.nn.Linear(1024, 1024)
    masks = {"weight": torch.rand(1024, 1024, generator=torch.Generator().manual_seed(0)) < 0.5}
    example = torch.randn(256, 1024)
    every = {number: DynamicsConfig(name="rigl", every=number, until=1.0) for number in (1, 10)}
    found = {number: asked(config, rule, example=example).chosen(model, masks) for number, rule in every.items()}
    assert found[10].record.is_sparse
    assert not found[1].record.is_sparse


def test_a_resumed_run_has_the_prediction_that_it_was_begun_with(config, convnet, masks_of):
    model = convnet()
    use = EngineUse(name="sparse", sparse_layers=1, layers=3, predicted_gain=2.5)
    saved = EngineRecord(use=use, sparse=("4",))
    chosen = asked(config, None, saved=saved, example=torch.randn(4, 2, 4, 4)).chosen(model, masks_of(model))
    assert chosen.record.use == use
