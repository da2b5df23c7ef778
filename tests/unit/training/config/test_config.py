from __future__ import annotations

import math
from dataclasses import asdict, fields

import pytest
import torch
from torch import nn

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.parameter_groups import make_optimizer
from n2nsurgery.training.config.schedule import ScheduleConfig, learning_rate
from n2nsurgery.training.loop.components import components_of


@pytest.mark.parametrize(
    ("kind", "field", "value", "allowed"),
    [
        (TrainConfig, "epochs", 0, "a whole number from 1"),
        (TrainConfig, "epochs", 1.5, "a whole number from 1"),
        (TrainConfig, "epochs", True, "a whole number from 1"),
        (TrainConfig, "batch_size", -1, "a whole number from 1"),
        (TrainConfig, "accumulate", 0, "a whole number from 1"),
        (TrainConfig, "keep_last", 0, "a whole number from 1"),
        (TrainConfig, "compile", "yes", "true or false"),
        (OptimizerConfig, "nesterov", 1, "true or false"),
        (TrainConfig, "seed", -1, "a whole number from 0"),
        (TrainConfig, "label_smoothing", 1, r"in \[0, 1\)"),
        (TrainConfig, "clip_norm", 0, "above 0"),
        (TrainConfig, "clip_norm", float("nan"), "above 0"),
        (TrainConfig, "ema_decay", 1.0, r"in \[0, 1\)"),
        (TrainConfig, "amp", "fp8", "one of off, bf16, fp16"),
        (TrainConfig, "device", "cuda:x", "auto, cpu, cuda or cuda:N"),
        (TrainConfig, "checkpoint_steps", 0, "a whole number from 1"),
        (OptimizerConfig, "name", "lion", "one of adam, adamw, nadam, radam, rmsprop, sgd"),
        (OptimizerConfig, "lr", 0, "above 0"),
        (OptimizerConfig, "lr", "0.1", "above 0"),
        (OptimizerConfig, "momentum", 1, r"in \[0, 1\)"),
        (OptimizerConfig, "betas", (0.9,), r"two numbers in \[0, 1\)"),
        (OptimizerConfig, "eps", 0, "above 0"),
        (OptimizerConfig, "weight_decay", -1, "at least 0"),
        (ScheduleConfig, "name", "linear", "one of constant, cosine, multistep, step"),
        (ScheduleConfig, "floor", -1, "at least 0"),
        (ScheduleConfig, "step_epochs", 0, "a whole number from 1"),
        (ScheduleConfig, "gamma", 1.5, r"in \(0, 1\]"),
        (ScheduleConfig, "milestones", (3, 2), "rising epochs from 1"),
        (ScheduleConfig, "milestones", (3, 5), "given for multistep, and for no other"),
        (ScheduleConfig, "warm_up_epochs", -1, "at least 0"),
        (ScheduleConfig, "warm_up_from", 1, r"in \[0, 1\)"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(kind, field, value, allowed):
    with pytest.raises(UsageError, match=rf"{field} is .*; it must be {allowed}"):
        kind(**{field: value})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: OptimizerConfig(momentum=0.0), "nesterov is True; it must be false where momentum is 0"),
        (
            lambda: TrainConfig(schedule=ScheduleConfig(floor=0.1)),
            "floor is 0.1; it must be at most optimizer.lr, 0.05",
        ),
        (lambda: TrainConfig(epochs=3, schedule=ScheduleConfig(warm_up_epochs=3)), "must be below the 3 epochs"),
        (lambda: ScheduleConfig(name="multistep"), "milestones is .*given for multistep"),
        (lambda: TrainConfig(batch_size=30, accumulate=2).local_batch(4), "must be a multiple of 8: 4 processes times"),
    ],
)
def test_values_that_contradict_each_other_are_refused(build, message):
    with pytest.raises(UsageError, match=message):
        build()


def test_the_defaults_are_the_recipe_of_the_paper():
    config = TrainConfig()
    assert (config.epochs, config.batch_size) == (300, 128)
    assert (config.optimizer.lr, config.optimizer.momentum, config.optimizer.weight_decay) == (0.05, 0.9, 5e-4)
    assert (config.schedule.name, config.schedule.step_epochs, config.schedule.gamma) == ("step", 30, 0.5)


def test_a_batch_is_shared_out_over_processes_and_forward_passes():
    assert TrainConfig(batch_size=128, accumulate=4).local_batch(2) == 16


def test_a_config_survives_json():
    config = TrainConfig(ema_decay=0.99, schedule=ScheduleConfig(name="multistep", milestones=(1, 2)))
    assert decode(TrainConfig, asdict(config), "here") == config
    assert {field.name for field in fields(TrainConfig)} >= {"optimizer", "schedule"}


def test_any_registered_optimizer_takes_its_options_by_name():
    config = OptimizerConfig(name="rmsprop", lr=0.01, weight_decay=0.0, options={"alpha": 0.9})
    made = make_optimizer(nn.Linear(2, 2), config)
    assert type(made) is torch.optim.RMSprop
    assert (made.param_groups[0]["alpha"], made.param_groups[0]["lr"]) == (0.9, 0.01)
    with pytest.raises(UnknownNameError, match=r"unknown option of the optimizer 'rmsprop' .*'beta'"):
        make_optimizer(nn.Linear(2, 2), OptimizerConfig(name="rmsprop", options={"beta": 0.9}))


@pytest.mark.parametrize(
    ("name", "lr", "weight_decay"),
    [("sgd", 0.05, 5e-4), ("adam", 1e-3, 0), ("adamw", 1e-3, 0.01), ("nadam", 1e-3, 0), ("rmsprop", 1e-2, 0)],
)
def test_a_name_brings_the_optimizers_own_values(name, lr, weight_decay):
    config = OptimizerConfig(name=name)
    assert (config.lr, config.weight_decay) == (lr, weight_decay)
    (group,) = make_optimizer(nn.Linear(2, 2), config).param_groups
    assert (group["lr"], group["weight_decay"]) == (lr, weight_decay)
    assert decode(OptimizerConfig, asdict(config), "here") == config


def test_hyper_parameters_reach_every_optimizer_that_has_them_and_no_other():
    made = make_optimizer(nn.Linear(2, 2), OptimizerConfig(name="rmsprop", momentum=0.8, eps=1e-3))
    assert (made.param_groups[0]["momentum"], made.param_groups[0]["eps"]) == (0.8, 1e-3)
    made = make_optimizer(nn.Linear(2, 2), OptimizerConfig(name="nadam", betas=(0.5, 0.6), eps=1e-3))
    assert (made.param_groups[0]["betas"], made.param_groups[0]["eps"]) == ((0.5, 0.6), 1e-3)
    with pytest.raises(UsageError, match=r"optimizer.momentum is 0.8; it must be left out: adam has none"):
        OptimizerConfig(name="adam", momentum=0.8)


@pytest.mark.parametrize("name", ["step", "cosine", "multistep"])
@pytest.mark.parametrize(("lr", "floor"), [(0.1, 5e-4), (0.05, 5e-4), (1e-4, 1e-6)])
def test_without_a_floor_of_its_own_a_schedule_never_raises_the_learning_rate(name, lr, floor):
    options = {"milestones": (1,)} if name == "multistep" else {}
    config = ScheduleConfig(name=name, gamma=1e-6, step_epochs=1, **options)
    rates = [learning_rate(config, lr, step, steps_per_epoch=10, epochs=20) for step in range(201)]
    assert rates[0] == lr
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(floor)


def test_the_loss_takes_options_by_name():
    config = TrainConfig(loss_options={"class_weights": [1.0, 0.0]})
    loss = components_of(config).loss
    # Only the first sample counts, whose two scores are equal.
    assert float(loss(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1]))) == pytest.approx(math.log(2))
