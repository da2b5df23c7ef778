"""The shapes that layers see in one batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


@torch.no_grad()
def seen_shapes(module: nn.Module, example: Tensor) -> dict[nn.Module, tuple[torch.Size, torch.Size]]:
    """Shapes of the first input and of the output of each layer that `module` calls with `example`.

    Runs the forward pass once, in eval mode; the module's mode is as before afterwards. What is called several times
    has its last shapes.
    """
    seen: dict[nn.Module, tuple[torch.Size, torch.Size]] = {}

    def note(child: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            seen[child] = (inputs[0].shape, output.shape)

    handles: list[RemovableHandle] = [child.register_forward_hook(note) for child in module.modules()]
    modes = {child: child.training for child in module.modules()}
    try:
        module.eval()
        module(example)
    finally:
        for handle in handles:
            handle.remove()
        for child, mode in modes.items():
            child.training = mode
    return seen
