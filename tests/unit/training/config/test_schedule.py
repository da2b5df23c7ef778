from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.training.config.schedule import ScheduleConfig, learning_rate

LR, STEPS, EPOCHS = 0.05, 7, 12


def rates(config: ScheduleConfig) -> list[float]:
    return [learning_rate(config, LR, step, steps_per_epoch=STEPS, epochs=EPOCHS) for step in range(STEPS * EPOCHS)]


def torchs(make, *, by_epoch: bool) -> list[float]:
    """The rates of a scheduler of torch, stepped after every epoch or after every step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    scheduler = make(optimizer)
    seen = []
    for step in range(STEPS * EPOCHS):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if not by_epoch or (step + 1) % STEPS == 0:
            scheduler.step()
    return seen


@pytest.mark.parametrize(
    ("config", "make", "by_epoch"),
    [
        (
            ScheduleConfig(name="step", step_epochs=3, gamma=0.5, floor=0),
            lambda o: torch.optim.lr_scheduler.StepLR(o, 3, gamma=0.5),
            True,
        ),
        (
            ScheduleConfig(name="multistep", milestones=(2, 5, 6), gamma=0.1, floor=0),
            lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 5, 6], gamma=0.1),
            True,
        ),
        (
            ScheduleConfig(name="cosine", floor=0.001),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS * EPOCHS, eta_min=0.001),
            False,
        ),
        (
            ScheduleConfig(name="constant", floor=0, warm_up_epochs=2, warm_up_from=0.25),
            lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.25, total_iters=2 * STEPS),
            False,
        ),
    ],
    ids=["step", "multistep", "cosine", "warm-up"],
)
def test_a_schedule_is_that_of_torch(config, make, by_epoch):
    # torch multiplies from step to step, we evaluate the closed form: 84 roundings of 2^-53 at most.
    assert rates(config) == pytest.approx(torchs(make, by_epoch=by_epoch), rel=1e-12)


def test_constant_is_constant():
    assert set(rates(ScheduleConfig(name="constant"))) == {LR}


def test_the_recipe_of_the_paper_halves_every_thirty_epochs_down_to_its_floor():
    config = ScheduleConfig()
    seen = [learning_rate(config, 0.05, epoch * 10, steps_per_epoch=10, epochs=300) for epoch in range(300)]
    assert seen == [max(5e-4, 0.05 * 0.5 ** (epoch // 30)) for epoch in range(300)]
    assert seen.index(5e-4) == 210


def test_cosine_after_a_warm_up_starts_at_the_full_rate_and_ends_above_its_floor():
    config = ScheduleConfig(name="cosine", floor=0.01, warm_up_epochs=1.5, warm_up_from=0.1)
    seen = rates(config)
    warm_up = round(1.5 * STEPS)
    assert seen[0] == pytest.approx(0.1 * LR, rel=1e-15)  # one rounding
    assert seen[warm_up] == LR
    turn = (STEPS * EPOCHS - 1 - warm_up) / (STEPS * EPOCHS - warm_up)
    assert seen[-1] == pytest.approx(0.01 + 0.04 * (1 + math.cos(math.pi * turn)) / 2, rel=1e-15)  # the same formula


@given(
    name=st.sampled_from(["constant", "step", "cosine"]),
    floor=st.floats(0, LR),
    warm_up=st.floats(0, EPOCHS - 0.5),
    start=st.floats(0, 0.99),
)
def test_a_rate_never_leaves_its_range_and_never_rises_after_the_warm_up(name, floor, warm_up, start):
    config = ScheduleConfig(name=name, floor=floor, warm_up_epochs=warm_up, warm_up_from=start)
    seen = rates(config)
    settled = seen[round(warm_up * STEPS) :]
    ulp = 1e-15  # of floor + (lr - floor), which rounds
    assert all(0 <= rate <= LR + ulp for rate in seen)
    assert all(rate >= floor - ulp for rate in settled)
    assert all(later <= earlier + ulp for earlier, later in pairwise(settled))
