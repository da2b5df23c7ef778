"""What every loss, optimizer, schedule and training metric promises, for all members of the registries."""

import pytest
import torch

from n2nsurgery.testing import check_dynamics, check_loss, check_optimizer, check_schedule, check_training_metric
from n2nsurgery.training.dynamics import DYNAMICS
from n2nsurgery.training.losses import LOSSES
from n2nsurgery.training.optimizers import OPTIMIZERS
from n2nsurgery.training.schedules import SCHEDULES
from n2nsurgery.training.training_metrics import TRAINING_METRICS

SCORES = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(8) % 5
YES_OR_NO = torch.eye(5).repeat(2, 1)[:8]
TARGETS = {
    "cross-entropy": LABELS, "mse": SCORES + 1, "bce-with-logits": YES_OR_NO,
    "exact-match": YES_OR_NO, "f1": YES_OR_NO, "macro-f1": YES_OR_NO, "mean-average-precision": YES_OR_NO,
    "mae": SCORES + 1, "r2": SCORES + 1, "rmse": SCORES + 1,
    "mean-iou": LABELS, "pixel-accuracy": LABELS, "top1": LABELS, "top5": LABELS,
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES.names())
def test_a_loss_keeps_its_promises(name):
    check_loss(LOSSES.get(name), SCORES, TARGETS[name])


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_an_optimizer_keeps_its_promises(name):
    check_optimizer(OPTIMIZERS.get(name))


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_a_schedule_keeps_its_promises(name):
    options = {"milestones": (2, 5)} if name == "multistep" else {}
    check_schedule(SCHEDULES.get(name)(**options))


@pytest.mark.parametrize("name", DYNAMICS.names())
@pytest.mark.parametrize("scope", [None, "layer", "global"])
def test_dynamics_keep_their_promises(name, scope):
    member = DYNAMICS.get(name)
    if scope is None:
        check_dynamics(member)
    elif "scope" in member.__dataclass_fields__:
        check_dynamics(member(scope=scope, every=10))


@pytest.mark.parametrize("name", TRAINING_METRICS.names())
def test_a_training_metric_keeps_its_promises(name):
    check_training_metric(TRAINING_METRICS.get(name), SCORES, TARGETS[name])
