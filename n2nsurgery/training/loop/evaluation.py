"""Loss and accuracy of a network as it is deployed: eval mode, every sample once over all processes together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import primary_output
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.training.config.device import autocast
from n2nsurgery.training.loop.batches import Batches
from n2nsurgery.training.metrics.meter import Meter, Score, score_of


class EvaluationStopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """The evaluation was asked to stop before its end."""


@torch.no_grad()
def evaluate(  # noqa: PLR0913 - each is a choice of the run
    network: nn.Module,
    batches: Batches,
    *,
    processes: DistributedContext,
    amp: Literal["off", "bf16", "fp16"] = "off",
    channels_last: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Score:
    """The cross-entropy, top-1 and top-5 accuracy of `network` over one pass of `batches`.

    Processes may hold different numbers of samples; their sums are added. The modes of the modules come back. Raises
    UsageError where there is no sample, EvaluationStopped between two batches as soon as `stop` says so.
    """
    meter = Meter(processes.device)
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        for inputs, targets in batches.epoch(0):
            if stop():
                raise EvaluationStopped
            placed = placed_inputs(inputs, processes.device, channels_last=channels_last)
            labels = targets.to(processes.device, non_blocking=True)
            with autocast(processes.device, amp):
                logits = primary_output(network(placed)).float()
            meter.add(functional.cross_entropy(logits, labels), logits, labels)
    finally:
        for module, mode in modes.items():
            module.training = mode
    sums = processes.all_reduce(meter.sums)
    if not sums[-1]:
        raise UsageError("there is no sample to evaluate on")
    return score_of(sums)


def placed_inputs(inputs: torch.Tensor, device: torch.device, *, channels_last: bool) -> torch.Tensor:
    """`inputs` on `device`; images (N, C, H, W) channels last where asked."""
    images = channels_last and inputs.ndim == 4  # noqa: PLR2004 - N, C, H, W
    layout = torch.channels_last if images else torch.preserve_format
    return inputs.to(device, non_blocking=True, memory_format=layout)
