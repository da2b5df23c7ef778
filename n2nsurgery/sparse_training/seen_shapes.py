"""The shapes that layers see in one batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from n2nsurgery.core.outputs import call, evaluation_mode


@torch.no_grad()
def seen_shapes(module: nn.Module, example: Any) -> dict[nn.Module, tuple[torch.Size, torch.Size]]:  # noqa: ANN401
    """Shapes of the first input and of the output of each layer that `module` calls with the inputs `example`.

    Runs the forward pass once, in eval mode; every mode is as before afterwards. What is called several times has its
    last shapes.
    """
    seen: dict[nn.Module, tuple[torch.Size, torch.Size]] = {}

    def note(child: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            seen[child] = (inputs[0].shape, output.shape)

    handles: list[RemovableHandle] = [child.register_forward_hook(note) for child in module.modules()]
    try:
        with evaluation_mode(module):
            call(module, example)
    finally:
        for handle in handles:
            handle.remove()
    return seen
