"""What every loss, optimizer, schedule and training metric promises; see the packages of these names in `training`."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.testing.verdict import expect, instance, is_a_frozen_value, keeps_all
from n2nsurgery.training.losses import Loss
from n2nsurgery.training.optimizers import Optimizer
from n2nsurgery.training.schedules import Schedule, Span
from n2nsurgery.training.training_metrics import TrainingMetric

_SPAN = Span(steps_per_epoch=7, epochs=9, warm_up=4)
_LR = 0.1


def example_batch() -> tuple[Tensor, Tensor]:
    """Eight scores of five classes, and their labels."""
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 5


def check_loss(loss: Loss | type[Any], outputs: Tensor | None = None, targets: Tensor | None = None) -> None:
    """Return where `loss`, an instance or a class with defaults, keeps the promises of a loss.

    `outputs` and `targets`: a batch that it takes; where left out, (8, 5) scores and 8 class labels. Raises
    AssertionError that names the first promise that is broken.
    """
    made = instance(loss)
    scores, labels = example_batch()
    outputs, targets = scores if outputs is None else outputs, labels if targets is None else targets
    keeps_all(made, (is_a_frozen_value, lambda member: _loss_is_a_mean_with_a_gradient(member, outputs, targets)))


def _loss_is_a_mean_with_a_gradient(loss: Loss, outputs: Tensor, targets: Tensor) -> None:
    leaf = outputs.detach().clone().requires_grad_()
    before = targets.clone()
    value = loss(leaf, targets)
    expect(value.dim() == 0, f"gives a tensor of shape {tuple(value.shape)}; a scalar is needed")
    mean = float(value.detach())
    expect(math.isfinite(mean), f"gives {mean}; a finite number is needed")
    [slope] = torch.autograd.grad(value, [leaf], materialize_grads=True)
    expect(bool(torch.isfinite(slope).all()) and bool(slope.any()), "leads no finite gradient to the outputs")
    expect(torch.equal(targets, before), "changes the targets")
    twice = float(loss(torch.cat([outputs, outputs]), torch.cat([targets, targets])))
    # A sum would be twice as large; two means of equal terms differ by rounding alone.
    same = math.isclose(twice, mean, rel_tol=1e-5)
    expect(same, f"gives {mean:.6g} for a batch and {twice:.6g} for it repeated; take the mean")


def check_optimizer(optimizer: Optimizer | type[Any]) -> None:
    """Return where `optimizer`, an instance or a class with defaults, keeps the promises of an optimizer.

    Pruned weights have to stay at zero: where a weight and its gradients are zero, every step leaves it there. Raises
    AssertionError that names the first promise that is broken.
    """
    keeps_all(instance(optimizer), (is_a_frozen_value, *OPTIMIZER_CHECKS))


def has_a_learning_rate_that_can_be_set(optimizer: Optimizer) -> None:
    """`lr` is in the groups, and the one written there is used."""
    expect(optimizer.lr > 0, f"has lr = {optimizer.lr}; it must be above 0")
    made = optimizer([{"params": [_parameter()]}])
    expect(isinstance(made, torch.optim.Optimizer), f"makes a {type(made).__name__}; a torch.optim.Optimizer is needed")
    rates = [group["lr"] for group in made.param_groups]
    expect(rates == [optimizer.lr], f"starts with the learning rates {rates}; its lr is {optimizer.lr}")
    parameter = _stepped(optimizer, steps=2, lr=0.0)
    expect(torch.equal(parameter, _parameter()), "moves weights although the learning rate of its groups is 0")


def takes_the_weight_decay_of_a_group(optimizer: Optimizer) -> None:
    """A group that names 0 is not decayed."""
    made = optimizer([{"params": [_parameter()], "weight_decay": 0.0}, {"params": [_parameter()]}])
    decays = [group["weight_decay"] for group in made.param_groups]
    wanted = [0.0, optimizer.weight_decay]
    expect(decays == wanted, f"gives its groups the weight decay {decays}; {wanted} were asked for")


def makes_the_loss_smaller(optimizer: Optimizer) -> None:
    """Of 30 steps on |w|^2 / 2."""
    before, after = (float(p.square().sum()) for p in (_parameter().detach(), _stepped(optimizer, steps=30)))
    expect(after < before, f"takes |w|^2 from {before:.4g} to {after:.4g} in 30 steps down its own gradient")


def keeps_zeros_at_zero(optimizer: Optimizer) -> None:
    """Where weight and gradient are zero, in a tensor with others that are not."""
    parameter = _stepped(optimizer, steps=5)
    expect(not bool(parameter[0].any()), "moves weights that are zero and have no gradient; masks would not hold")


def resumes_from_its_state(optimizer: Optimizer) -> None:
    """Three steps, a saved state, and two more equal five."""
    parameter = _parameter()
    first = optimizer([{"params": [parameter]}])
    _walk(first, parameter, 3)
    copied = parameter.detach().clone().requires_grad_()
    second = optimizer([{"params": [copied]}])
    second.load_state_dict(copy.deepcopy(first.state_dict()))  # its tensors would be shared
    for made, each in ((first, parameter), (second, copied)):
        _walk(made, each, 2)
    expect(torch.equal(parameter, copied), "goes on differently from its saved state_dict")


def _parameter() -> Tensor:
    """Three rows of four weights; the first row is zero."""
    weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    weights[0] = 0
    return weights.requires_grad_()


def _walk(optimizer: torch.optim.Optimizer, parameter: Tensor, steps: int) -> None:
    """Steps down the gradient of |w|^2 / 2."""
    for _ in range(steps):
        parameter.grad = parameter.detach().clone()
        optimizer.step()


def _stepped(optimizer: Optimizer, *, steps: int, lr: float | None = None) -> Tensor:
    parameter = _parameter()
    made = optimizer([{"params": [parameter]}])
    for group in made.param_groups if lr is not None else ():
        group["lr"] = lr
    _walk(made, parameter, steps)
    return parameter.detach()


def check_schedule(schedule: Schedule | type[Any]) -> None:
    """Return where `schedule`, an instance or a class with defaults, keeps the promises of a schedule.

    It is asked for every step of a run of 9 epochs of 7 steps. Raises AssertionError that names the first promise that
    is broken.
    """
    keeps_all(instance(schedule), (is_a_frozen_value, *SCHEDULE_CHECKS))


def gives_a_learning_rate_for_every_step(schedule: Schedule) -> None:
    """A finite number from 0."""
    rates = _rates(schedule)
    finite = all(isinstance(rate, int | float) and math.isfinite(rate) and rate >= 0 for rate in rates)
    expect(finite, f"gives the learning rates {rates}; finite numbers from 0 are needed")


def depends_on_the_step_alone(schedule: Schedule) -> None:
    """Asked backwards, as a resumed run may ask, it gives the same."""
    forward, backward = _rates(schedule), [schedule(_LR, step, _SPAN) for step in reversed(range(_SPAN.steps))]
    expect(forward == backward[::-1], "gives other learning rates when the steps are asked for in another order")


def _rates(schedule: Schedule) -> list[float]:
    return [schedule(_LR, step, _SPAN) for step in range(_SPAN.steps)]


def check_training_metric(
    metric: TrainingMetric | type[Any], outputs: Tensor | None = None, targets: Tensor | None = None
) -> None:
    """Return where `metric`, an instance or a class with defaults, keeps the promises of a training metric.

    `outputs` and `targets`: a batch of at least two samples that it takes; where left out, (8, 5) scores and 8 class
    labels. Raises AssertionError that names the first promise that is broken.
    """
    scores, labels = example_batch()
    outputs, targets = scores if outputs is None else outputs, labels if targets is None else targets
    keeps_all(instance(metric), (is_a_frozen_value, lambda member: _metric_adds_up(member, outputs, targets)))


def _metric_adds_up(metric: TrainingMetric, outputs: Tensor, targets: Tensor) -> None:
    higher = getattr(metric, "higher_is_better", None)
    expect(isinstance(higher, bool), f"has higher_is_better = {higher!r}; it must be True or False")
    whole = metric.sums(outputs, targets)
    expect(whole.dim() == 1, f"gives sums of shape {tuple(whole.shape)}; a vector is needed")
    expect(whole.dtype == torch.float64, f"gives sums as {whole.dtype}; float64 counts exactly")
    parts = metric.sums(outputs[:1], targets[:1]) + metric.sums(outputs[1:], targets[1:])
    # Sums of float32 terms in two orders: their rounding lies far below 1e-6.
    expect(torch.allclose(whole, parts, rtol=1e-6), "gives sums over two parts that are not those of the whole batch")
    value = metric.value(whole)
    expect(isinstance(value, float) and math.isfinite(value), f"gives {value!r} for a batch; a finite float is needed")
    nothing = metric.value(torch.zeros_like(whole))
    expect(math.isnan(nothing), f"gives {nothing!r} where nothing was added up; NaN is needed")


OPTIMIZER_CHECKS: tuple[Callable[[Optimizer], None], ...] = (
    has_a_learning_rate_that_can_be_set,
    takes_the_weight_decay_of_a_group,
    makes_the_loss_smaller,
    keeps_zeros_at_zero,
    resumes_from_its_state,
)
SCHEDULE_CHECKS: tuple[Callable[[Schedule], None], ...] = (
    gives_a_learning_rate_for_every_step,
    depends_on_the_step_alone,
)
