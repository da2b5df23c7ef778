"""Metrics of the tasks: values by hand, exact over batches and processes."""

from __future__ import annotations

import math

import pytest
import torch

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.loop.components import components_of, measure_of
from n2nsurgery.training.metrics.measure import LOSS, FunctionMetric, Measure
from n2nsurgery.training.metrics.meter import Meter

CPU = torch.device("cpu")
T = torch.tensor


def measured(task, outputs, targets):
    measure = measure_of(TrainConfig(task=task))
    return dict(measure.values(measure.sums(outputs, targets)))


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
    # Label 0 of the two levels: 1 of 2 true, then 2 of 3; label 1 is right throughout.
    precision = found.pop("mean-average-precision")
    assert precision == pytest.approx((1 / 2 * 1 / 2 + 1 / 2 * 2 / 3 + 1) / 2, abs=1e-12)
    assert found == {"macro-f1": 3 / 4, "f1": 6 / 8, "exact-match": 1 / 3}


def test_intersection_over_union_is_that_of_the_confusion_matrix():
    predicted = T([[[0, 0], [1, 1]]])
    targets = T([[[0, 1], [1, 255]]])  # the last pixel is void
    outputs = torch.nn.functional.one_hot(predicted, 3).permute(0, 3, 1, 2).float()
    # Class 0: 1 of 2. Class 1: 1 of 2. Class 2 is in neither.
    found = measured("segmentation", outputs, targets)
    assert found == {"mean-iou": 1 / 2, "pixel-accuracy": 2 / 3}


def test_void_pixels_have_no_loss():
    loss = components_of(TrainConfig(task="segmentation")).loss
    assert float(loss(torch.zeros(1, 2, 1, 2), T([[[1, 255]]]))) == pytest.approx(math.log(2), rel=1e-6)  # float32


def test_errors_of_a_regression_are_those_of_all_values():
    found = measured("regression", T([[1.0], [2.0], [5.0]]), T([[1.0], [3.0], [2.0]]))
    # Errors 0, -1, 3; the targets' mean is 2, their squared deviations add up to 2.
    assert found == {"rmse": math.sqrt(10 / 3), "mae": 4 / 3, "r2": 1 - 10 / 2}


def test_r2_of_several_outputs_has_a_mean_for_each():
    targets = T([[0.0, 10.0], [2.0, 14.0]])
    found = measured("regression", T([[1.0, 10.0], [2.0, 14.0]]), targets)
    assert found["r2"] == 1 - 1 / (2 + 8)


def test_r2_of_targets_that_do_not_vary_is_undefined():
    assert math.isnan(measured("regression", T([0.1, 0.3]), T([0.2, 0.2]))["r2"])


def test_targets_of_another_shape_are_refused_in_a_regression():
    with pytest.raises(UsageError, match=r"outputs of shape \(3, 1\) with targets of shape \(3,\)"):
        measured("regression", torch.zeros(3, 1), torch.zeros(3))


class Several:
    """Processes of which the others hold the given sums, and this one its own."""

    def __init__(self, *others):
        self.others = others

    def all_gather(self, values):
        return [values, *(T([len(sums) for sums in other.values()]) for other in self.others)]

    def all_reduce(self, values):
        return values + sum(torch.cat(list(other.values())) for other in self.others)


def test_metrics_leave_out_the_label_that_the_loss_leaves_out():
    named = TrainConfig(task="segmentation", metrics=("miou", "accuracy", "f1"), loss_options={"ignore_index": 7})
    metrics = measure_of(named).metrics
    assert metrics["mean-iou"].ignore_index == metrics["top1"].ignore_index == 7


def test_a_batch_weighs_its_samples_by_the_labels_that_count():
    weight = components_of(TrainConfig(task="segmentation")).weight
    assert float(weight(torch.zeros(4, 1), T([[0, 255], [1, 255], [1, 1], [255, 255]]))) == 4 / 2
    assert float(weight((torch.zeros(4, 1),), {"labels": T([255])})) == 4  # which of several targets is not known
    assert float(components_of(TrainConfig(task="regression")).weight(torch.zeros(4, 1), torch.zeros(4, 1))) == 4


def test_a_batch_without_weight_is_not_in_the_mean_loss():
    meter = Meter(CPU, measure_of(TrainConfig(metrics=())))
    for loss, weight in ((2.0, 1.0), (0.0, 0.0), (4.0, 3.0)):
        meter.add(T(loss), None, None, samples=3, weight=T(weight, dtype=torch.float64))
    score = meter.score(meter.total(Several()))
    assert (score.loss, score.samples, meter.mean_loss) == (3.5, 9, 3.5)


def test_sums_of_earlier_versions_have_no_weights():
    meter = meter_of("classification")
    meter.reset({LOSS: (6.0, 3.0), "top1": (1.0, 3.0), "top5": (3.0, 3.0)})
    score = meter.score(meter.total(Several()))
    assert (score.loss, score.samples) == (2.0, 3)


def meter_of(task, *batches):
    meter = Meter(CPU, measure_of(TrainConfig(task=task)))
    for loss, outputs, targets in batches:
        meter.add(T(loss), outputs, targets, samples=len(targets))
    return meter


def test_a_meter_weighs_the_loss_of_a_batch_by_its_samples():
    meter = meter_of("classification", (1.0, torch.zeros(3, 2), T([0, 0, 0])), (5.0, torch.zeros(1, 2), T([0])))
    score = meter.score(meter.total(Several()))
    assert (score.loss, score.samples) == (2.0, 4)


def test_metrics_over_processes_are_those_of_all_samples_together():
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(12, 4, generator=generator), torch.randint(2, (12, 4), generator=generator)
    whole = meter_of("multilabel", (0.0, outputs, targets))
    one, other = (meter_of("multilabel", (0.0, outputs[part], targets[part])) for part in (slice(5), slice(5, 12)))
    together = one.score(one.total(Several(other.total(Several()))))
    assert together == whole.score(whole.total(Several()))


def test_a_process_without_a_batch_counts_nothing():
    sums = meter_of("classification", (0.5, torch.zeros(2, 3), T([0, 1]))).total(Several())
    together = meter_of("classification").total(Several(sums))
    assert together.keys() == {LOSS, "top1", "top5"}
    assert all(torch.equal(together[name], values) for name, values in sums.items())


def test_a_meter_goes_on_from_saved_sums():
    batches = [(0.5, torch.zeros(2, 3), T([0, 1])), (1.5, torch.zeros(2, 3), T([1, 1]))]
    resumed = meter_of("classification")
    resumed.reset(
        {name: values.tolist() for name, values in meter_of("classification", batches[0]).total(Several()).items()}
    )
    resumed.add(T(1.5), *batches[1][1:], samples=2)
    whole = meter_of("classification", *batches).total(Several())
    assert all(torch.equal(whole[name], values) for name, values in resumed.total(Several()).items())


def test_functions_of_a_caller_are_averaged_over_samples():
    measure = Measure(
        metrics={"mean": FunctionMetric(function=lambda outputs, _: outputs.mean(), higher_is_better=False)}
    )
    sums = measure.sums(T([1.0, 1.0, 1.0]), None)["mean"] + measure.sums(T([5.0]), None)["mean"]
    assert measure.values({"mean": sums}) == (("mean", 2.0),)
    assert measure.best("mean") == ("mean", False)


def test_the_best_is_by_the_first_metric_unless_another_is_named():
    regression = measure_of(TrainConfig(task="regression"))
    assert regression.best(None) == ("rmse", False)
    assert regression.best("r2") == ("r2", True)
    assert Measure(metrics={}).best(None) == ("loss", False)
    with pytest.raises(UnknownNameError, match=r"best_metric is 'r22'; it must be one of .*; did you mean 'r2'\?"):
        regression.best("r22")


def test_a_function_that_does_not_say_which_way_is_better_leaves_ranking_to_the_loss():
    def error(outputs, targets):
        return (outputs - targets).abs().mean()

    silent = Measure(metrics={"mae": FunctionMetric(function=error)})
    assert silent.best(None) == ("loss", False)
    with pytest.raises(UsageError, match=r"best_metric is 'mae'.*FunctionMetric.*higher_is_better=True"):
        silent.best("mae")
    for higher in (True, False):
        told = Measure(metrics={"mae": FunctionMetric(function=error, higher_is_better=higher)})
        assert told.best(None) == told.best("mae") == ("mae", higher)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"function": 3}, r"function is 3; it must be a function of \(outputs, targets\)"),
        ({"function": max, "higher_is_better": "no"}, "higher_is_better is 'no'; it must be True or False"),
    ],
)
def test_a_metric_that_is_no_function_and_a_direction_that_is_none_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        FunctionMetric(**given)


def test_metrics_and_loss_may_be_named_in_place_of_those_of_the_task():
    named = TrainConfig(task="regression", metrics=("accuracy",), loss="cross-entropy")
    assert tuple(measure_of(named).metrics) == ("top1",)
    assert float(components_of(named).loss(torch.zeros(1, 2), T([0]))) == pytest.approx(
        math.log(2), rel=1e-6
    )  # float32


@pytest.mark.parametrize(
    ("named", "metrics"),
    [
        ({"loss": "bce"}, ("mean-average-precision", "macro-f1", "f1", "exact-match")),
        ({"loss": "mse"}, ("rmse", "mae", "r2")),
        ({"loss": "cross-entropy"}, ("top1", "top5")),
        ({"loss": "bce", "metrics": ("top1",)}, ("top1",)),
        ({"loss": "mse", "task": "multilabel"}, ("mean-average-precision", "macro-f1", "f1", "exact-match")),
    ],
)
def test_a_named_loss_brings_the_metrics_of_its_task_unless_the_task_is_named(named, metrics):
    assert tuple(measure_of(TrainConfig(**named)).metrics) == metrics


def test_a_metric_cannot_be_called_loss():
    with pytest.raises(UsageError, match="the loss has that name"):
        Measure(metrics={"loss": FunctionMetric(function=lambda *_: 0.0)})
