from __future__ import annotations

import math
import re

import pytest
import torch
from torch.nn import functional

from n2nsurgery.core.errors import UsageError
from n2nsurgery.training.losses import LOSSES

SCORES = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
LABELS = torch.tensor([0, 1])


def loss(name, **options):
    return LOSSES.get(name)(**options)


def test_cross_entropy_is_the_mean_of_the_labels_log_probabilities():
    expected = (math.log(math.e**2 + 2) - 2 + math.log(math.e + 2)) / 2
    assert float(loss("cross-entropy")(SCORES, LABELS)) == pytest.approx(expected, rel=1e-6)  # float32


def test_label_smoothing_and_class_weights_are_those_of_torch():
    made = loss("cross-entropy", label_smoothing=0.2, class_weights=(1.0, 2.0, 0.5))
    weights = torch.tensor([1.0, 2.0, 0.5])
    expected = functional.cross_entropy(SCORES, LABELS, weight=weights, label_smoothing=0.2)
    assert torch.equal(made(SCORES, LABELS), expected)


def test_a_label_that_is_ignored_does_not_count():
    made = loss("cross-entropy", ignore_index=1)
    assert torch.equal(made(SCORES, LABELS), functional.cross_entropy(SCORES[:1], LABELS[:1]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, (1.0, 0.0, 2.0)])
@pytest.mark.parametrize("shape", [(2,), (2, 3, 3)])
def test_where_no_label_counts_the_loss_is_zero_and_so_is_its_gradient(smoothing, weights, shape):
    void = 255 if weights is None else 1  # a class of weight 0 does not count either
    outputs = torch.randn(2, 3, *shape[1:], generator=torch.Generator().manual_seed(0)).requires_grad_()
    made = loss("cross-entropy", ignore_index=255, label_smoothing=smoothing, class_weights=weights)
    value = made(outputs, torch.full(shape, void))
    [slope] = torch.autograd.grad(value, [outputs])
    assert float(value.detach()) == 0
    assert torch.equal(slope, torch.zeros_like(outputs))


def test_the_part_of_labels_that_counts_is_the_mean_of_their_weights():
    labels = torch.tensor([[0, 1], [255, 255]])
    assert float(loss("cross-entropy", ignore_index=255).counted(labels)) == 1 / 2
    weighted = loss("cross-entropy", ignore_index=255, class_weights=(3.0, 0.5))
    assert float(weighted.counted(labels)) == (3 + 0.5) / 4
    assert float(weighted.counted(torch.rand(2, 2))) == 1  # probabilities


def test_class_weights_of_another_number_of_classes_are_refused():
    with pytest.raises(UsageError, match="has 2 numbers; give one for each of the 3 classes"):
        loss("cross-entropy", class_weights=(1.0, 1.0))(SCORES, LABELS)


def test_mse_is_the_mean_over_all_elements():
    assert float(loss("mse")(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2))) == 7.5


@pytest.mark.parametrize("name", ["mse", "bce-with-logits"])
def test_targets_of_another_shape_are_refused_and_not_broadcast(name):
    with pytest.raises(UsageError, match=r"outputs of shape \(4, 1\) with targets of shape \(4,\)"):
        loss(name)(torch.zeros(4, 1), torch.zeros(4))


def test_bce_weights_positive_labels():
    outputs, targets = torch.zeros(1, 2), torch.tensor([[1, 0]])
    assert float(loss("bce", positive_weight=3.0)(outputs, targets)) == pytest.approx(2 * math.log(2), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cross-entropy", {"label_smoothing": 1.0}, "loss.label_smoothing is 1.0"),
        ("cross-entropy", {"class_weights": (0.0, 0.0)}, "loss.class_weights is .* not all 0"),
        ("cross-entropy", {"class_weights": (1.0, -1.0)}, "loss.class_weights is .* numbers from 0"),
        ("bce-with-logits", {"positive_weight": 0}, "loss.positive_weight is 0; it must be above 0"),
    ],
)
def test_a_value_out_of_range_is_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        loss(name, **options)


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (SCORES, torch.tensor([0, 3]), "a label is 3, and the model gives 3 scores: labels go from 0 to 2 (1 of the"),
        (SCORES, torch.tensor([-1, 3]), "a label is -1, and the model gives 3 scores: labels go from 0 to 2 (2 of the"),
        (SCORES, torch.tensor([[0], [1]]), "with labels of shape (2,); the targets have shape (2, 1)"),
        (SCORES, torch.tensor([0.0, 1.0]), "targets of type float32 are probabilities, of the outputs' shape (2, 3)"),
        (SCORES[0], LABELS, "the outputs have shape (3,). Give a score to each class"),
    ],
)
def test_labels_that_are_no_classes_are_told_as_such(outputs, targets, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        loss("cross-entropy")(outputs, targets)


def test_the_label_that_is_ignored_may_be_any_number():
    made = loss("cross-entropy", ignore_index=255)
    assert torch.equal(made(SCORES, torch.tensor([0, 255])), made(SCORES[:1], LABELS[:1]))
