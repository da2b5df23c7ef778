"""SNIP empties layers of a small MobileNetV2 at 95 %; `keep_alive` prevents it at equal non-zeros."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery import apply
from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.summary import summary

ROWS = ((8, 8, 1, 1), (8, 12, 6, 2), (12, 12, 6, 1), (12, 16, 6, 1), (16, 24, 6, 1), (24, 24, 6, 1), (24, 32, 6, 1))
"""Inputs, outputs, expansion and stride of each block."""


class Inverted(nn.Module):
    """The inverted residual block of MobileNetV2."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.same = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.same else self.body(x)


@pytest.fixture(scope="module")
def small_mobilenet() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blocks = [Inverted(*row) for row in ROWS]
        stem = [nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()]
        return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)).eval()


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    images = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(16) % 10


def pruned(model, batch, density: float = 0.05, **options):
    return apply(model, density=density, skip="none", criterion="snip", example_inputs=batch[0], data=batch, **options)


@pytest.fixture(scope="module")
def free(small_mobilenet, batch):
    return pruned(small_mobilenet, batch)


@pytest.fixture(scope="module")
def alive(small_mobilenet, batch):
    return pruned(small_mobilenet, batch, keep_alive=True)


def test_snip_loses_layers_without_it_and_none_with_it_at_equal_counts(free, alive):
    assert free.masks.kept == alive.masks.kept == free.plan.budget.total
    assert sum(line.kept == 0 for line in free.record.kept) >= 1
    assert min(line.kept for line in alive.record.kept) >= 1
    assert sum(line.silent for line in alive.record.kept) == 0
    assert any(warning.startswith("cut layer") for warning in free.record.warnings)
    assert alive.record.warnings == ()


def test_a_budget_below_one_weight_for_each_channel_serves_as_many_as_it_can_and_says_so(small_mobilenet, batch):
    made = pruned(small_mobilenet, batch, density=0.01, keep_alive=True)
    count, channels = made.plan.budget.total, sum(line.channels for line in made.record.kept)
    assert count < channels
    assert sum(line.channels - line.silent for line in made.record.kept) == count
    (warning,) = (each for each in made.plan.warnings if each.startswith("keep_alive"))
    assert f"{channels - count:,} of {channels:,} output channels keep no weight" in warning
    assert f"the budget of the layers is {count:,} weights; every layer keeps some" in warning


def test_it_is_recorded_and_a_plan_without_it_has_the_fingerprint_it_always_had(free, alive):
    assert alive.plan.to_json()["config"]["keep_alive"] is True
    assert "keep_alive" not in free.plan.to_json()["config"]
    assert alive.plan.fingerprint != free.plan.fingerprint
    for plan in (free.plan, alive.plan):
        assert SurgeryPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_the_summary_has_the_channels_without_a_weight(free):
    document = summary(free.plan, free.masks, free.record)
    silent = {line.name: line.silent for line in free.record.kept}
    assert document["keep_alive"] is False
    assert {layer["parameter"]: layer["silent_channels"] for layer in document["layers"]} == silent
    assert {layer["silent_channels"] for layer in summary(free.plan)["layers"]} == {None}


def test_a_pattern_that_keeps_whole_kernels_says_which_channels_it_cannot_serve(plain, images):
    made = apply(plain, density=0.05, granularity="kernel", keep_alive=True, skip="none", example_inputs=images)
    (warning,) = (each for each in made.record.warnings if each.startswith("keep_alive"))
    silent = sum(line.silent for line in made.record.kept)
    assert silent > 0
    assert f"{silent:,} output channels keep no weight" in warning
    assert warning.endswith("Take granularity 'weight', or raise the density")


def test_it_excludes_what_single_layers_keep_as_floors_do():
    with pytest.raises(UsageError, match="keep_alive: floors exclude what single layers keep"):
        SurgeryConfig(fan_out={"fc": 4}, keep_alive=True)


def test_a_budget_without_a_weight_for_each_layer_is_refused(small_mobilenet, batch):
    with pytest.raises(BudgetError, match="the floors ask for 23 and the layers have"):
        pruned(small_mobilenet, batch, density=0.0005, keep_alive=True)
