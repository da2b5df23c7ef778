from __future__ import annotations

import math

import pytest
import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.training.training_metrics import TRAINING_METRICS

SCORES = torch.eye(6)[[0, 1, 2, 3]] * 10 - torch.arange(6.0)  # the last classes score lowest


def measured(name, outputs, targets, **options):
    metric = TRAINING_METRICS.get(name)(**options)
    return metric.value(metric.sums(outputs, targets))


def test_top1_is_the_share_of_labels_with_the_highest_score():
    assert measured("accuracy", SCORES, torch.tensor([0, 1, 2, 5])) == 0.75


def test_top5_leaves_out_the_lowest_of_six():
    assert measured("top5", SCORES, torch.tensor([4, 4, 4, 5])) == 0.75


def test_top5_of_fewer_classes_is_always_right():
    assert measured("top5", SCORES[:, :3], torch.tensor([0, 1, 2, 0])) == 1


def test_probabilities_stand_for_their_highest_label():
    assert measured("top1", SCORES[:1], torch.tensor([[0.6, 0.4, 0, 0, 0, 0]])) == 1


def test_mean_iou_is_over_classes_that_occur():
    predicted = torch.tensor([[0, 0, 1, 1]])
    outputs = torch.nn.functional.one_hot(predicted, 4).movedim(-1, 1).float()
    # Class 0: 1 of 2 pixels; class 1: 2 of 3; classes 2 and 3 occur nowhere.
    assert measured("miou", outputs, torch.tensor([[0, 1, 1, 1]])) == pytest.approx((1 / 2 + 2 / 3) / 2, abs=1e-12)


def test_mean_iou_leaves_out_ignored_pixels():
    outputs = torch.nn.functional.one_hot(torch.tensor([[0, 1, 1]]), 2).movedim(-1, 1).float()
    assert measured("mean-iou", outputs, torch.tensor([[0, 1, 255]]), ignore_index=255) == 1


@pytest.mark.parametrize("name", ["top1", "top5", "pixel-accuracy"])
def test_a_label_that_is_ignored_is_neither_right_nor_wrong(name):
    counted = measured(name, SCORES[[0, 3]], torch.tensor([0, 5]))
    assert measured(name, SCORES, torch.tensor([0, -100, -100, 5])) == counted
    assert math.isnan(measured(name, SCORES, torch.tensor([0, 0, 0, 0]), ignore_index=0))


def test_f1_counts_over_all_labels():
    outputs, targets = torch.tensor([[1.0, -1.0], [1.0, 1.0]]), torch.tensor([[1, 1], [0, 1]])
    assert measured("f1", outputs, targets) == pytest.approx(2 * 2 / (3 + 3), abs=1e-12)


def average_precision(scores, true):
    """The mean over true samples of the precision among all that score as high: scikit-learn's, in other words."""
    ranks = [(scores >= score) for score in scores[true]]
    return sum(float(true[above].double().mean()) for above in ranks) / int(true.sum())


def multilabel_scores(step):
    generator = torch.Generator().manual_seed(0)
    scores = (torch.randn(200, 4, generator=generator, dtype=torch.float64) * 3 / step).round() * step
    return scores, torch.rand(200, 4, generator=generator) < torch.sigmoid(scores - 2)


def test_mean_average_precision_is_that_of_the_definition_where_scores_lie_on_its_steps():
    scores, true = multilabel_scores(1 / 16)  # with many ties
    expected = sum(average_precision(scores[:, label], true[:, label]) for label in range(4)) / 4
    assert measured("map", scores, true.long()) == pytest.approx(expected, abs=1e-12)


def test_mean_average_precision_of_any_scores_is_close_to_the_definition_and_closer_with_more_steps():
    scores, true = multilabel_scores(1e-9)
    expected = sum(average_precision(scores[:, label], true[:, label]) for label in range(4)) / 4
    # Samples within 1/16 of each other count together, which moves each precision by a few of 800 samples.
    assert measured("map", scores, true.long()) == pytest.approx(expected, abs=0.01)
    assert measured("map", scores, true.long(), bins=2**16) == pytest.approx(expected, abs=1e-4)


def test_mean_average_precision_leaves_out_a_label_that_is_never_true():
    scores, true = multilabel_scores(1 / 16)
    true[:, 3] = False
    assert measured("map", scores, true.long()) == measured("map", scores[:, :3], true[:, :3].long())


def test_mean_average_precision_without_a_true_label_is_undefined():
    assert math.isnan(measured("map", torch.zeros(2, 3), torch.zeros(2, 3)))


def test_steps_of_mean_average_precision_that_are_too_few_are_refused():
    with pytest.raises(UsageError, match="bins is 1; it must be a whole number from 2"):
        TRAINING_METRICS.get("map")(bins=1)


@pytest.mark.parametrize("name", ["map", "f1", "macro-f1", "exact-match", "mse", "mae", "rmse", "r2"])
def test_targets_of_another_shape_are_refused_and_not_broadcast(name):
    with pytest.raises(UsageError, match=r"outputs of shape \(4, 1\) with targets of shape \(4,\)"):
        measured(name, torch.zeros(4, 1), torch.zeros(4))


CLASS_METRICS = ["top1", "top5", "mean-iou", "pixel-accuracy"]


@pytest.mark.parametrize("name", CLASS_METRICS)
@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (torch.zeros(4, 1), torch.ones(4, 1), r"outputs of shape \(4, 1\) are not scores of two or more classes"),
        (
            torch.zeros(4),
            torch.ones(4),
            r"outputs of shape \(4,\) are not scores of two or more .* set task to multilabel",
        ),
        (torch.zeros(4, 2), torch.ones(4, 1).long(), r"labels of shape \(4,\), .*targets are int64 of shape \(4, 1\)"),
        (
            torch.zeros(4, 2),
            torch.ones(4),
            r"probabilities of the outputs' shape; the targets are float32 of shape \(4,\)",
        ),
        (torch.zeros(4, 2, 3, 3), torch.ones(4, 1, 3, 3).long(), r"labels of shape \(4, 3, 3\)"),
    ],
)
def test_what_is_no_classes_is_refused_and_not_broadcast(name, outputs, targets, message):
    with pytest.raises(UsageError, match=message):
        measured(name, outputs, targets)


@pytest.mark.parametrize("name", CLASS_METRICS)
def test_pixels_of_probabilities_are_those_of_their_highest_label(name):
    outputs, labels = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3
    soft = torch.nn.functional.one_hot(labels.reshape(2, 4, 4), 3).movedim(-1, 1).float()
    assert measured(name, outputs, soft) == measured(name, outputs, labels.reshape(2, 4, 4))


@pytest.mark.parametrize("name", ["map", "f1", "macro-f1", "exact-match"])
def test_a_label_without_a_dimension_of_its_own_is_one_label(name):
    scores, true = torch.tensor([1.0, -1.0, 2.0]), torch.tensor([1.0, 1.0, 0.0])
    assert measured(name, scores, true) == measured(name, scores[:, None], true[:, None])


@pytest.mark.parametrize("name", ["map", "f1", "macro-f1"])
def test_positions_of_several_labels_count_as_samples(name):
    scores, true = multilabel_scores(1 / 16)
    maps = [values.reshape(50, 2, 2, 4).movedim(-1, 1) for values in (scores, true.long())]
    assert measured(name, *maps) == measured(name, scores, true.long())


def test_a_threshold_that_is_not_a_number_is_refused():
    with pytest.raises(UsageError, match="threshold is nan"):
        TRAINING_METRICS.get("f1")(threshold=math.nan)


@pytest.mark.parametrize(("name", "value"), [("mse", 2.5), ("mae", 1.5)])
def test_errors_are_means_over_all_elements(name, value):
    assert measured(name, torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)) == value


@pytest.mark.parametrize(("name", "better"), [("top1", True), ("mean-iou", True), ("f1", True), ("mse", False)])
def test_a_metric_says_which_way_is_better(name, better):
    assert TRAINING_METRICS.get(name).higher_is_better is better
