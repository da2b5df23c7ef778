"""How much faster a sparse twin is than its original, measured on one batch before a run begins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from n2nsurgery.core.outputs import call, primary_output
from n2nsurgery.data.torch_data.sample_randomness import generators_restored

_ROUNDS = 2  # after one that warms up


def measured_gain(original: nn.Module, twin: nn.Module, inputs: Any) -> float | None:  # noqa: ANN401
    """Seconds of a forward and backward pass of `original` over those of `twin`, both in the mode that they are in.

    The best of a few rounds in turns, in seconds of the processor with one thread, of the clock with several. Leaves
    buffers, gradients and random generators as they were. None where nothing in either has a gradient.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    best: dict[nn.Module, float] = {}
    for number in range(_ROUNDS + 1):
        for module in (original, twin):
            with generators_restored(), _buffers_kept(module):
                start = clock()
                if not _passes(module, inputs):
                    return None
                seconds = clock() - start
            if number:
                best[module] = min(seconds, best.get(module, seconds))
    return best[original] / max(best[twin], 1e-9)


@torch.enable_grad()
def _passes(module: nn.Module, inputs: Any) -> bool:  # noqa: ANN401
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    output = primary_output(call(module, inputs))
    if not parameters or not output.requires_grad:
        return False
    torch.autograd.grad(output, parameters, torch.ones_like(output), allow_unused=True)
    return True


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Inside, batch statistics may move; afterwards they are as before."""
    before = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
