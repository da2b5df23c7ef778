"""One optimizer step: forward and backward over a group of batches, mask, clip, step, average, move the masks."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import map_tensors, samples_in
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.training.loop.batches import Mixing, Pair, placed_inputs
from n2nsurgery.training.loop.evaluation import outputs_of
from n2nsurgery.training.loop.recomputation import recomputation_errors
from n2nsurgery.training.loop.train_state import TrainState
from n2nsurgery.training.state.saved_state import Position


def optimizer_step(
    train_state: TrainState,
    group: list[Pair],
    *,
    position: Position,
    mixing: Mixing | None = None,
    uneven: bool = False,
) -> int:
    """Take one step on the mean loss over all samples of `group`; returns their number.

    Every batch has the weight that `Components.weight` gives it, by samples and by the labels that count, so that a
    group equals one large batch; one without such a label moves weights by momentum and decay alone. With a teacher,
    whose scores count for every label, it is the samples. `uneven`: the processes may hold different numbers of
    samples, as in the last step of an epoch; their weights are then asked for. In other steps all count alike.
    """
    train_state.rates.before_step(position.step)
    if train_state.fading is not None:
        train_state.fading.at(position.step)
    train_state.optimizer.zero_grad(set_to_none=True)
    samples = sum(samples_in(inputs) for inputs, _ in group)
    weights = [_weight(train_state, *pair) for pair in group]
    share = torch.stack(weights).sum()
    if uneven:
        share = train_state.processes.all_reduce(share) / train_state.processes.size
    moving = train_state.moving if train_state.moving and train_state.moving.is_due(position.step + 1) else None
    if moving is not None:
        moving.begin_gradients()
    for index, (inputs, targets) in enumerate(group):
        last = index == len(group) - 1
        batch = replace(position, batch=position.batch + index)
        placed = _placed(train_state, (inputs, targets), batch, mixing)
        with nullcontext() if last else train_state.processes.no_sync(train_state.network):
            loss = _loss(train_state, *placed, position.step)
            weight = (weights[index] / share).nan_to_num(0.0)  # the gradients of the processes are averaged
            weighted = loss * weight.to(loss.device, loss.dtype)
            with recomputation_errors(enabled=train_state.recomputation is not None):
                train_state.scaler.scale(weighted).backward()  # type: ignore[no-untyped-call]
    if moving is not None:
        moving.note_gradients(train_state.processes)
    train_state.masked.mask_gradients()
    if train_state.config.clip_norm is not None:
        train_state.scaler.unscale_(train_state.optimizer)
        nn.utils.clip_grad_norm_(train_state.module.parameters(), train_state.config.clip_norm)
    _apply_step(train_state)
    train_state.rates.after_step()
    if train_state.average is not None:
        train_state.average.update()
    if moving is not None:
        average = train_state.average
        moving.move(position.step + 1, train_state.optimizer, average.values if average is not None else {})
    return samples


def _apply_step(train_state: TrainState) -> None:
    """The optimizer's step; where it may move zeros, pruned weights and their state are masked after it."""
    train_state.scaler.step(train_state.optimizer)
    train_state.scaler.update()
    if train_state.components.mixes:
        train_state.masked.apply()
        train_state.masked.clear(train_state.optimizer)


def _weight(train_state: TrainState, inputs: Any, targets: Any) -> Tensor:  # noqa: ANN401
    if train_state.components.teacher is not None:
        return torch.tensor(samples_in(inputs), dtype=torch.float64)
    return train_state.components.weight(inputs, targets)


def _placed(train_state: TrainState, pair: Pair, position: Position, mixing: Mixing | None) -> Pair:
    """The batch on the device, mixed with a generator of its own: nothing to save, the same after a resume."""
    device = train_state.processes.device
    inputs, targets = (map_tensors(value, lambda t: t.to(device, non_blocking=True)) for value in pair)
    if mixing is not None:
        name = f"epoch {position.epoch} batch {position.batch} rank {train_state.processes.rank}"
        inputs, targets = mixing(inputs, targets, torch_generator(train_state.config.seed, "mixing", name))
    return placed_inputs(inputs, device, channels_last=train_state.config.channels_last), targets


def _loss(train_state: TrainState, inputs: Any, targets: Any, step: int) -> Tensor:  # noqa: ANN401
    """The loss that is differentiated; the meter gets that of the task alone."""
    components, device = train_state.components, train_state.processes.device
    teacher = components.teacher
    outputs = outputs_of(train_state.network, inputs, device, train_state.config.amp)
    if train_state.recomputation is not None:
        train_state.recomputation.require_called()
    loss = components.loss(outputs, targets)
    answers = map_tensors(outputs, Tensor.detach)
    if isinstance(loss, Tensor) and not loss.requires_grad:
        raise UsageError("the loss does not depend on a trained weight: compute it from the outputs, without detach")
    train_state.meter.add(
        loss.detach() if isinstance(loss, Tensor) else loss,
        answers,
        targets,
        samples=samples_in(inputs),
        weight=components.weight(inputs, targets),
        step=step,
    )
    # a GPU would have to be waited for; there it is looked up now and then
    if device.type == "cpu":
        train_state.meter.require_finite()
    return loss if teacher is None else teacher.loss(loss, outputs, teacher.scores(inputs))
