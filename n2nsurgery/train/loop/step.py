"""One optimizer step: forward and backward over a group of batches, mask, clip, step, average."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from n2nsurgery.core.outputs import primary_output
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.train.config.device import autocast
from n2nsurgery.train.loop.batches import Mixing, Pair
from n2nsurgery.train.loop.evaluation import placed_inputs
from n2nsurgery.train.loop.session import Session
from n2nsurgery.train.state.saved_state import Position


def optimizer_step(  # noqa: PLR0913 - what one step depends on
    session: Session,
    group: list[Pair],
    *,
    position: Position,
    lr: float,
    mixing: Mixing | None = None,
    uneven: bool = False,
) -> int:
    """Take one step on the mean loss over all samples of `group`; returns their number.

    Every batch is weighted by its samples, so that a group equals one large batch. `uneven`: the processes may hold
    different numbers of samples, as in the last step of an epoch; they are then asked for, and count accordingly.
    """
    for parameters in session.optimizer.param_groups:
        parameters["lr"] = lr
    session.optimizer.zero_grad(set_to_none=True)
    samples = sum(targets.shape[0] for _, targets in group)
    share = float(session.world.total(torch.tensor(samples))) / session.world.size if uneven else samples
    for index, (inputs, targets) in enumerate(group):
        last = index == len(group) - 1
        batch = replace(position, batch=position.batch + index)
        placed = _placed(session, (inputs, targets), batch, mixing)
        with nullcontext() if last else session.world.unsynchronized(session.network):
            loss = _loss(session, *placed, position.step)
            weight = targets.shape[0] / share  # the gradients of the processes are averaged
            weighted = loss if weight == 1 else loss * weight
            session.scaler.scale(weighted).backward()  # type: ignore[no-untyped-call]
    session.masked.mask_gradients()
    if session.config.clip_norm is not None:
        session.scaler.unscale_(session.optimizer)
        nn.utils.clip_grad_norm_(session.module.parameters(), session.config.clip_norm)
    session.scaler.step(session.optimizer)
    session.scaler.update()
    if session.average is not None:
        session.average.update()
    return samples


def _placed(session: Session, pair: Pair, position: Position, mixing: Mixing | None) -> Pair:
    """The batch on the device, mixed with a generator of its own: nothing to save, the same after a resume."""
    device = session.world.device
    inputs, targets = (tensor.to(device, non_blocking=True) for tensor in pair)
    if mixing is not None:
        name = f"epoch {position.epoch} batch {position.batch} rank {session.world.rank}"
        inputs, targets = mixing(inputs, targets, torch_generator(session.config.seed, "mixing", name))
    return placed_inputs(inputs, device, channels_last=session.config.channels_last), targets


def _loss(session: Session, inputs: Tensor, targets: Tensor, step: int) -> Tensor:
    config = session.config
    with autocast(session.world.device, config.amp):
        logits = primary_output(session.network(inputs)).float()
    loss = functional.cross_entropy(logits, targets, label_smoothing=config.label_smoothing)
    session.meter.add(loss.detach(), logits.detach(), targets, step=step)
    if session.world.device.type == "cpu":  # a GPU would have to be waited for; there it is looked up now and then
        session.meter.require_finite()
    return loss
