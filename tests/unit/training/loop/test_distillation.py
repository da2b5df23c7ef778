"""What a student learns from a teacher: classes, several labels, or values."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from n2nsurgery.core.errors import UsageError
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.distillation import DistillationConfig
from n2nsurgery.training.loop.components import OwnParts, components_of

GENERATOR = torch.Generator().manual_seed(0)
STUDENT, TEACHER = torch.randn(2, 5, 3, generator=GENERATOR)
T = 2.0


def distance(student, teacher, *, loss=None, temperature=T, **named):
    """The teacher's part of the loss alone."""
    named |= {"loss": loss} if isinstance(loss, str) else {}
    config = TrainConfig(**named, distillation=DistillationConfig(weight=1.0, temperature=temperature))
    own = OwnParts(teacher=nn.Identity(), loss=None if isinstance(loss, str) else loss)
    made = components_of(config, own).teacher
    return made.loss(torch.tensor(0.0), student, teacher)


def divergence(true, other):
    """KL of probabilities along the last dimension, its mean over all else."""
    return (true * (true / other).log()).sum(-1).mean()


@pytest.mark.parametrize("named", [{}, {"task": "segmentation"}, {"task": "multilabel", "loss": "cross-entropy"}])
def test_classes_are_compared_by_their_softmax(named):
    expected = T**2 * divergence(*((scores / T).softmax(1) for scores in (TEACHER, STUDENT)))
    torch.testing.assert_close(distance(STUDENT, TEACHER, **named), expected)


@pytest.mark.parametrize(
    "named", [{"task": "multilabel"}, {"loss": "bce"}, {"task": "multilabel", "loss": functional.l1_loss}]
)
@pytest.mark.parametrize("labels", [slice(None), slice(1), 0])
def test_several_labels_are_compared_by_the_sigmoid_of_each(named, labels):
    student, teacher = STUDENT[:, labels], TEACHER[:, labels]
    true, own = ((scores / T).sigmoid() for scores in (teacher, student))
    expected = T**2 * divergence(torch.stack([true, 1 - true], -1), torch.stack([own, 1 - own], -1))
    torch.testing.assert_close(distance(student, teacher, **named), expected)


@pytest.mark.parametrize(
    "named", [{"task": "regression"}, {"loss": "mse"}, {"task": "regression", "loss": functional.l1_loss}]
)
@pytest.mark.parametrize("values", [slice(None), slice(1), 0])
def test_values_are_compared_by_squared_differences(named, values):
    student, teacher = STUDENT[:, values], TEACHER[:, values]
    found = distance(student, teacher, temperature=DistillationConfig.temperature, **named)
    torch.testing.assert_close(found, (student - teacher).square().mean())


def test_values_are_divided_by_no_temperature():
    with pytest.raises(UsageError, match=r"distillation.temperature is 2.0; it must be left out for the values"):
        distance(STUDENT, TEACHER, task="regression")


@pytest.mark.parametrize("scores", [slice(1), 0])
def test_one_score_for_a_sample_is_no_score_of_classes(scores):
    with pytest.raises(UsageError, match=r"shape \(5,( 1)?\), of which none are of two or more classes: set task to"):
        distance(STUDENT[:, scores], TEACHER[:, scores], loss=functional.mse_loss)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (DistillationConfig(), "distillation needs a teacher: pass a network as teacher, or name one in a recipe"),
        (DistillationConfig(teacher="mlp"), "distillation.teacher is 'mlp', .* pass the network itself"),
    ],
)
def test_a_teacher_that_was_not_passed_is_asked_for(asked, message):
    with pytest.raises(UsageError, match=message):
        components_of(TrainConfig(distillation=asked))
