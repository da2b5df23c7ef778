"""Metrics of the tasks: values by hand, exact over batches and processes."""

from __future__ import annotations

import math

import pytest
import torch

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.training.metrics.meter import Meter
from n2nsurgery.training.metrics.task import TASKS, FunctionMeasure, TaskMeasure, best_of

CPU = torch.device("cpu")
T = torch.tensor


def measured(task, outputs, targets):
    member = TASKS.get(task)()
    return member.values(member.sums(outputs, targets))


def test_the_tasks_are_those_that_the_documents_name():
    assert TASKS.names() == ("classification", "multilabel", "regression", "segmentation")


def test_top1_and_top5_count_the_class_among_the_highest_scores():
    outputs = torch.arange(6.0).expand(4, 6)  # class 5 first, 0 last
    found = measured("classification", outputs, T([5, 4, 1, 0]))
    assert found == {"top1": 1 / 4, "top5": 3 / 4}


def test_the_largest_probability_is_the_class_of_a_soft_target():
    assert measured("classification", T([[0.0, 1.0]]), T([[0.4, 0.6]])) == {"top1": 1.0, "top5": 1.0}


def test_f1_is_the_mean_over_labels_and_a_label_that_never_occurs_does_not_count():
    outputs = T([[1.0, -1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, 1.0, -1.0]])
    targets = T([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    # Label 0: tp 1, fp 1, fn 1 -> 2/4. Label 1: tp 2 -> 1. Label 2 is neither there nor predicted.
    found = measured("multilabel", outputs, targets)
    assert found == {"f1": 3 / 4, "micro_f1": 6 / 8, "exact": 1 / 3}


def test_intersection_over_union_is_that_of_the_confusion_matrix():
    predicted = T([[[0, 0], [1, 1]]])
    targets = T([[[0, 1], [1, 255]]])  # the last pixel is void
    outputs = torch.nn.functional.one_hot(predicted, 3).permute(0, 3, 1, 2).float()
    # Class 0: 1 of 2. Class 1: 1 of 2. Class 2 is in neither.
    found = measured("segmentation", outputs, targets)
    assert found == {"mean_iou": 1 / 2, "pixel_accuracy": 2 / 3}


def test_void_pixels_have_no_loss():
    task = TASKS.get("segmentation")()
    outputs = torch.zeros(1, 2, 1, 2)
    assert float(task.loss(outputs, T([[[1, 255]]]))) == pytest.approx(math.log(2), rel=1e-6)  # float32


def test_errors_of_a_regression_are_those_of_all_values():
    found = measured("regression", T([[1.0], [2.0], [5.0]]), T([1.0, 3.0, 2.0]))
    # Errors 0, -1, 3; the targets' mean is 2, their squared deviations add up to 2.
    assert found == {"rmse": math.sqrt(10 / 3), "mae": 4 / 3, "r2": 1 - 10 / 2}


def test_r2_of_several_outputs_has_a_mean_for_each():
    targets = T([[0.0, 10.0], [2.0, 14.0]])
    found = measured("regression", T([[1.0, 10.0], [2.0, 14.0]]), targets)
    assert found["r2"] == 1 - 1 / (2 + 8)


def test_r2_of_targets_that_do_not_vary_is_zero():
    assert measured("regression", T([0.1, 0.3]), T([0.2, 0.2]))["r2"] == 0


@pytest.mark.parametrize(
    ("task", "outputs", "targets", "message"),
    [
        (
            "multilabel",
            torch.zeros(2, 3),
            torch.zeros(2, 4),
            r"one shape \(N, labels\); they have \(2, 3\) and \(2, 4\)",
        ),
        ("segmentation", torch.zeros(1, 2, 2, 2), torch.zeros(1, 3, 3, dtype=torch.int64), "one target for each pixel"),
        ("segmentation", torch.zeros(1, 2, 1, 1), T([[[7]]]), "from 7 to 7; with 2 classes they must be from 0 to 1"),
        ("regression", torch.zeros(2, 3), torch.zeros(2, 4), r"one shape; they have \(2, 3\) and \(2, 4\)"),
    ],
)
def test_outputs_that_do_not_go_with_the_targets_are_refused(task, outputs, targets, message):
    with pytest.raises(UsageError, match=message):
        measured(task, outputs, targets)


class Several:
    """Processes of which the others hold the given sums, and this one its own."""

    def __init__(self, *others):
        self.others = others

    def all_gather(self, values):
        return [values, *(T([other.numel() - 2]) for other in self.others)]

    def all_reduce(self, values):
        return values + sum(self.others)


def total_of(batches, task):
    meter = Meter(CPU, TaskMeasure(TASKS.get(task)()))
    for loss, outputs, targets in batches:
        meter.add(T(loss), outputs, targets, samples=len(targets))
    return meter


def test_a_meter_weighs_the_loss_of_a_batch_by_its_samples():
    meter = total_of([(1.0, torch.zeros(3, 2), T([0, 0, 0])), (5.0, torch.zeros(1, 2), T([0]))], "classification")
    score = meter.score(meter.total(Several()))
    assert (score.loss, score.samples) == (2.0, 4)


def test_metrics_over_processes_are_those_of_all_samples_together():
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(12, 4, generator=generator), torch.randint(2, (12, 4), generator=generator)
    whole = total_of([(0.0, outputs, targets)], "multilabel")
    one, other = (total_of([(0.0, outputs[part], targets[part])], "multilabel") for part in (slice(5), slice(5, 12)))
    together = one.score(one.total(Several(other.total(Several()))))
    assert together == whole.score(whole.total(Several()))


def test_a_process_without_a_batch_counts_nothing():
    meter = total_of([(0.5, torch.zeros(2, 3), T([0, 1]))], "classification")
    empty = Meter(CPU, TaskMeasure(TASKS.get("classification")()))
    sums = meter.total(Several())
    assert torch.equal(empty.total(Several(sums)), sums)


def test_a_meter_goes_on_from_saved_sums():
    batches = [(0.5, torch.zeros(2, 3), T([0, 1])), (1.5, torch.zeros(2, 3), T([1, 1]))]
    saved = total_of(batches[:1], "classification").total(Several()).tolist()
    resumed = Meter(CPU, TaskMeasure(TASKS.get("classification")()))
    resumed.reset(saved)
    resumed.add(T(1.5), *batches[1][1:], samples=2)
    assert torch.equal(resumed.total(Several()), total_of(batches, "classification").total(Several()))


def test_functions_of_a_caller_are_averaged_over_samples():
    measure = FunctionMeasure({"mean": lambda outputs, _: outputs.mean()}, frozenset({"mean"}))
    sums = measure.sums(T([1.0, 1.0, 1.0]), None) + measure.sums(T([5.0]), None)
    assert measure.values(sums) == {"mean": 2.0}
    assert best_of(measure, "mean") == ("mean", True)


def test_the_best_is_by_the_first_metric_unless_another_is_named():
    regression, nothing = TaskMeasure(TASKS.get("regression")()), FunctionMeasure({})
    assert best_of(regression, None) == ("rmse", True)
    assert best_of(regression, "r2") == ("r2", False)
    assert best_of(nothing, None) == ("loss", True)
    with pytest.raises(UnknownNameError, match=r"unknown best_metric 'r22'; did you mean 'r2'\?"):
        best_of(regression, "r22")


def test_a_metric_cannot_be_called_loss():
    with pytest.raises(UsageError, match="the loss has that name"):
        FunctionMeasure({"loss": lambda *_: 0.0})
