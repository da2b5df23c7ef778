"""Loss and metrics of a network as it is deployed: eval mode, every sample once over all processes together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from n2nsurgery.core.outputs import call, evaluation_mode, map_tensors, samples_in
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.training.config.device import autocast
from n2nsurgery.training.loop.batches import Batches, placed_inputs, placed_targets
from n2nsurgery.training.loop.components import Components
from n2nsurgery.training.metrics.meter import Meter, Score


class EvaluationStopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """The evaluation was asked to stop before its end."""


@torch.no_grad()
def evaluate(  # noqa: PLR0913 - each is a choice of the run
    network: nn.Module,
    batches: Batches,
    components: Components,
    *,
    processes: DistributedContext,
    amp: Literal["off", "bf16", "fp16"] = "off",
    channels_last: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Score:
    """The loss and the metrics of `components` for `network` over one pass of `batches`.

    Processes may hold different numbers of samples; their sums are added. The modes of the modules come back. Raises
    UsageError where there is no sample, EvaluationStopped between two batches as soon as `stop` says so.
    """
    meter = Meter(processes.device, components.measure)
    with evaluation_mode(network):
        for inputs, targets in batches.epoch(0):
            if stop():
                raise EvaluationStopped
            placed = placed_inputs(inputs, processes.device, channels_last=channels_last)
            answers = placed_targets(targets, processes.device)
            outputs = outputs_of(network, placed, processes.device, amp)
            loss = components.evaluation_loss(outputs, answers)
            weight = components.weight(inputs, targets)
            meter.add(loss, outputs, answers, samples=samples_in(inputs), weight=weight)
    return meter.score(meter.total(processes))


def outputs_of(network: nn.Module, inputs: Any, device: torch.device, amp: Literal["off", "bf16", "fp16"]) -> Any:  # noqa: ANN401
    """What `network` returns for `inputs`; half-precision tensors of autocast as float32."""
    with autocast(device, amp):
        outputs = call(network, inputs)
    return outputs if amp == "off" else map_tensors(outputs, lambda t: t.float() if t.is_floating_point() else t)
