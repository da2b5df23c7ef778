"""Training with the sparse engine: the same run as the dense one but for roundings, in every respect."""

from __future__ import annotations

import json
import logging
import math
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.masks.kept_values import parameter_names
from n2nsurgery.pipelines.sparse_twins import sparse_twin
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.parameter_groups import make_optimizer
from n2nsurgery.training.engine.choice import EngineRequest
from n2nsurgery.training.engine.record import EngineRecord, EngineUse
from n2nsurgery.training.engine.twin import TwinRequest
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training
from n2nsurgery.training.state.checkpoints import trained_weights

pytestmark = pytest.mark.usefixtures("library")


class Killed(BaseException):
    """Nothing after this moment happens."""


@pytest.fixture
def train(convnet, blobs, masks_of, config):
    """Train a small network with everything that has state; its outcome, and the module."""

    def train(folder, *, resume=False, batches=None, model=None, callbacks=None, **changes):
        model = convnet() if model is None else model
        fields = {"epochs": 2, "accumulate": 2, "ema_decay": 0.9, "clip_norm": 1.0, "engine": "sparse", **changes}
        outcome = run_training(
            model,
            TrainData(
                train=batches or blobs(5, size=4, shape=(2, 4, 4)),
                evaluations={"validation": blobs(2, size=8, shape=(2, 4, 4))},
            ),
            config(**fields),
            folder=folder,
            masks=masks_of(model),
            resume=resume,
            callbacks=callbacks,
            twins=sparse_twin,
        )
        return outcome, model

    return train


def without_timing(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "timing"} for line in lines]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_losses_of_two_hundred_steps_are_those_of_dense_training(train, blobs, tmp_path, name):
    found = {}
    for engine in ("dense", "sparse"):
        steps = []
        found[engine] = steps
        train(
            tmp_path / engine,
            engine=engine,
            epochs=5,
            accumulate=1,
            batches=blobs(40, size=4, shape=(2, 4, 4)),
            optimizer={"name": name, "lr": 0.005},
            log_every=1,
            callbacks=Callbacks(on_step=lambda step, steps=steps: steps.append(step.loss)),
        )
    assert len(found["dense"]) == 200
    # Every sum is rounded otherwise, which training lets grow.
    assert all(math.isclose(a, b, abs_tol=1e-4) for a, b in zip(found["dense"], found["sparse"], strict=True))


def test_a_checkpoint_holds_what_one_of_a_dense_run_holds(train, masks_of, tmp_path, tensors_of):
    (sparse, model), (dense, _) = train(tmp_path / "sparse"), train(tmp_path / "dense", engine="dense")
    ours, theirs = tensors_of(sparse.last), tensors_of(dense.last)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert (value.shape, value.dtype) == (theirs[key].shape, theirs[key].dtype)
        if key[0] != "random":
            torch.testing.assert_close(value, theirs[key], rtol=1e-3, atol=1e-4)  # six steps apart
    for name, mask in masks_of(model).items():
        for key in (("model", name), ("average", name), ("optimizer", f"{name}/momentum_buffer")):
            assert not ours[key][~mask].any()
            assert ours[key][mask].any()
    averaged = trained_weights(sparse.last)
    assert all(torch.equal(value, averaged[name]) for (group, name), value in ours.items() if group == "average")
    assert all(torch.equal(value, ours["model", name]) for name, value in model.state_dict().items())


def test_two_sparse_runs_are_bit_identical(train, tmp_path, same):
    (one, _), (other, _) = train(tmp_path / "one"), train(tmp_path / "other")
    assert same(one, other)
    assert without_timing(tmp_path / "one") == without_timing(tmp_path / "other")


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_run_killed_after_any_step_resumes_bit_identically(train, tmp_path, step, same):
    def die(progress):
        if progress.step == step:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "killed", checkpoint_steps=1, callbacks=Callbacks(on_step=die))
    resumed, _ = train(tmp_path / "killed", checkpoint_steps=1, resume=True)
    whole, _ = train(tmp_path / "whole", checkpoint_steps=1)
    assert same(resumed, whole)
    assert without_timing(tmp_path / "killed") == without_timing(tmp_path / "whole")


SCRIPT = """
import importlib.util, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
specification = importlib.util.spec_from_file_location("conftest", sys.argv[2])
tools = importlib.util.module_from_spec(specification)
specification.loader.exec_module(tools)
from n2nsurgery.pipelines.sparse_twins import sparse_twin
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training

model = tools.convolutional()
run_training(
    model, TrainData(train=tools.Blobs(5, size=4, shape=(2, 4, 4))), tools.train_config(ema_decay=0.9, engine="sparse",
    checkpoint_steps=1), folder=Path(sys.argv[1]), masks=tools.random_masks(model), twins=sparse_twin,
    callbacks=Callbacks(on_step=lambda step: step.step == 7 and os.kill(os.getpid(), signal.SIGKILL)),
)
"""


def test_a_process_that_was_really_killed_resumes_bit_identically(convnet, blobs, masks_of, config, tmp_path, same):
    def whole(folder, *, resume):
        model = convnet()
        data = TrainData(train=blobs(5, size=4, shape=(2, 4, 4)))
        fields = config(ema_decay=0.9, engine="sparse", checkpoint_steps=1)
        masks = masks_of(model)
        return run_training(model, data, fields, folder=folder, masks=masks, twins=sparse_twin, resume=resume)

    tools = Path(__file__).parents[1] / "conftest.py"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed"), str(tools)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert same(whole(tmp_path / "killed", resume=True), whole(tmp_path / "whole", resume=False))
    finally:
        torch.set_num_threads(threads)


def test_the_result_is_the_same_to_the_bit_for_any_number_of_threads(train, tmp_path, same):
    before = torch.get_num_threads()
    outcomes = []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            outcomes.append(train(tmp_path / str(threads))[0])
    finally:
        torch.set_num_threads(before)
    assert same(outcomes[0], outcomes[1])
    assert same(outcomes[0], outcomes[2])


@pytest.mark.parametrize(("first", "second"), [("dense", "sparse"), ("sparse", "dense")])
def test_a_run_goes_on_with_the_other_engine_and_says_so(train, tmp_path, caplog, first, second):
    def die(progress):
        if progress.step == 4:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "run", engine=first, callbacks=Callbacks(on_step=die))
    with caplog.at_level(logging.WARNING):
        outcome, _ = train(tmp_path / "run", engine=second, resume=True)
    assert f"the run was {first} and goes on {second}" in caplog.text
    assert outcome.engine.use.name == second
    assert [line["engine"]["name"] for line in without_timing(tmp_path / "run")] == [first, second]
    whole, _ = train(tmp_path / "whole", engine=second)
    for one, other in zip(outcome.history, whole.history, strict=True):
        assert math.isclose(one.loss, other.loss, abs_tol=1e-4)  # three steps, rounded otherwise


def test_auto_goes_on_with_what_the_run_was_begun_with(train, blobs, tmp_path, same):
    shutil.copytree(train(tmp_path / "dense", engine="dense")[0].last.parents[1], tmp_path / "on")
    outcome, _ = train(tmp_path / "on", engine="auto", epochs=3, resume=True)
    assert outcome.engine.sentence().startswith("dense: the run was begun dense")
    outcome, _ = train(tmp_path / "sparse", engine="sparse")
    outcome, _ = train(tmp_path / "sparse", engine="auto", epochs=3, resume=True)
    assert outcome.engine.reason == "as the run was begun"
    assert outcome.engine.sparse == ("0", "4", "7")
    whole, _ = train(tmp_path / "whole", engine="sparse", epochs=3, batches=blobs(5, size=4, shape=(2, 4, 4)))
    assert same(outcome, whole)


def test_the_module_has_its_weights_after_every_epoch_and_its_modes_at_the_end(train, convnet, tmp_path, tensors_of):
    model, seen = convnet(), []
    model.train()
    model[1].eval()

    def look(_record):
        seen.append(model[0].weight.detach().clone())

    outcome, _ = train(tmp_path / "run", model=model, keep_last=9, callbacks=Callbacks(on_epoch=look))
    saved = sorted(path for path in outcome.last.parent.iterdir() if path.name.startswith("e"))
    assert len(seen) == 2
    assert torch.equal(seen[-1], tensors_of(saved[-1])["model", "0.weight"])
    assert not torch.equal(seen[0], seen[1])
    assert [child.training for child in model] == [index != 1 for index in range(len(model))]


def test_what_is_frozen_stays_and_is_found_by_its_name(train, convnet, tmp_path, tensors_of):
    model = convnet()
    before = model[4].weight.detach().clone()
    outcome, _ = train(tmp_path / "run", model=model, freeze=("4.weight",))
    masked = tensors_of(outcome.last)["model", "4.weight"]
    assert torch.equal(masked, torch.where(masked != 0, before, 0))
    assert model[4].weight.requires_grad


def test_weight_decay_reaches_kept_values_and_spares_what_it_spares_in_a_dense_module(convnet, masks_of):
    model = convnet()
    twin = sparse_twin(model, masks_of(model), TwinRequest(layers="all")).module
    config = OptimizerConfig(name="adamw", spare_norms=True)
    dense, sparse = (make_optimizer(module, config).param_groups for module in (model, twin))
    assert [len(group["params"]) for group in sparse] == [len(group["params"]) for group in dense]
    assert {id(p) for p in sparse[0]["params"]} == {id(twin[index].values) for index in (0, 4, 7)}


def test_parameters_spared_by_name_are_the_same_in_a_twin(convnet, masks_of):
    model = convnet()
    twin = sparse_twin(model, masks_of(model), TwinRequest(layers="all")).module
    for patterns in (("4",), ("4.weight", "7.*")):
        config = OptimizerConfig(weight_decay=0.1, spare=patterns)
        spared = [
            {name for parameter, name in parameter_names(module).items() for p in groups if p is parameter}
            for module in (model, twin)
            for groups in [make_optimizer(module, config).param_groups[1]["params"]]
        ]
        assert spared[0] == spared[1]
    assert spared[0] == {"4.weight", "7.weight", "7.bias"}
    with pytest.raises(UnknownNameError, match="skips"):
        make_optimizer(model, OptimizerConfig(spare=("skips",)))


def asked(config, **fields):
    given = {"make": sparse_twin, "pruned": True, "foreign_optimizer": False, **fields}
    return EngineRequest(config=config, **{"processes": SingleProcess(device=torch.device("cpu")), **given})


BEGUN_DENSE = EngineRecord(use=EngineUse(name="dense", layers=3))


@pytest.mark.parametrize(
    ("changes", "fields", "reason"),
    [
        ({"engine": "dense"}, {}, "asked for"),
        ({}, {"pruned": False}, "nothing is pruned"),
        ({}, {"processes": SingleProcess(device=torch.device("cuda:1"))}, "the device is cuda:1, and the sparse"),
        ({}, {"make": None}, "there is no sparse engine here"),
        ({"compile": True}, {}, "it is compiled"),
        ({"amp": "bf16"}, {}, "amp is bf16, and sparse layers compute in float32"),
        ({}, {"foreign_optimizer": True}, "the optimizer is not one of ours"),
        ({}, {"saved": BEGUN_DENSE}, "the run was begun dense"),
    ],
)
def test_auto_is_dense_with_the_reason(config, changes, fields, reason):
    assert asked(config(**changes), **fields).refusal().startswith(reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"pruned": False}, "engine is 'sparse', and nothing is pruned: leave it out, or set dense"),
        ({"processes": SingleProcess(device=torch.device("cuda"))}, "engine is 'sparse', and the device is cuda"),
    ],
)
def test_sparse_where_it_cannot_be_is_refused(config, fields, reason):
    with pytest.raises(UsageError, match=reason):
        asked(config(engine="sparse"), **fields).refusal()


def test_sparse_goes_on_with_what_auto_would_leave_to_the_dense_engine(config):
    fields = {"foreign_optimizer": True, "saved": BEGUN_DENSE}
    assert asked(config(engine="sparse", amp="bf16"), **fields).refusal() is None


def test_a_compiled_run_cannot_be_sparse(config):
    with pytest.raises(UsageError, match="compile is True; it must be false with engine sparse"):
        config(engine="sparse", compile=True)


def test_weights_in_double_precision_are_dense_by_themselves_and_refused_when_asked_for(config, convnet, masks_of):
    model = convnet().double()
    engine = asked(config()).chosen(model, masks_of(model))
    assert "torch.float64" in engine.record.reason
    assert engine.twin is None
    with pytest.raises(UsageError, match=r"'0\.weight' is torch\.float64 on cpu"):
        asked(config(engine="sparse")).chosen(model, masks_of(model))


def test_the_choice_leaves_buffers_gradients_and_generators_as_they_were(config, convnet, masks_of):
    model = convnet().train()
    example = torch.randn(4, 2, 4, 4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.random.get_rng_state()
    engine = asked(config(engine="sparse"), example=example).chosen(model, masks_of(model))
    assert engine.measured_gain > 0
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(parameter.grad is None for parameter in (*model.parameters(), *engine.twin.module.parameters()))
    masks = masks_of(model)
    assert all(
        torch.equal(value, before[name] * masks[name] if name in masks else before[name])
        for name, value in model.state_dict().items()
    )


def test_measured_engines_are_said_to_be(config):
    model = nn.Linear(64, 64)
    masks = {"weight": torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) < 0.02}
    made = asked(config(measure_engine=True), example=torch.randn(32, 64))
    engine = made.chosen(model, masks)
    again = replace(made, example=None, config=config(engine="sparse")).chosen(model, masks)
    assert engine.record.reason in {"measured", "no pruned layer would be faster if computed sparsely"}
    assert again.record.sparse == ("weight",)


def test_a_sentence_says_engine_layers_and_gains():
    use = EngineUse(name="sparse", sparse_layers=16, layers=17, predicted_gain=4.04)
    record = EngineRecord(use=use, reason="predicted", sparse=("a",) * 16)
    layers, fast = "sparse, 16 of 17 pruned layers", "to be 4.0 times as fast as dense"
    assert record.sentence(3.52) == (
        f"{layers}: predicted {fast}; the whole network was measured to be 3.5 times as fast as dense"
    )
    assert replace(record, reason="measured").sentence() == f"{layers}: measured {fast}"
    assert replace(record, reason="predicted after step 500").sentence() == f"{layers}: predicted after step 500 {fast}"
    assert replace(record, reason="asked for").sentence() == f"{layers}: asked for; predicted {fast}"
    assert EngineRecord(reason="asked for").sentence() == "dense: asked for"


def test_best_weights_of_a_sparse_run_load_into_the_dense_module(train, convnet, tmp_path):
    outcome, _ = train(tmp_path / "run")
    convnet().load_state_dict(dict(trained_weights(outcome.best)))
