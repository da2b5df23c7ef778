"""Holds a traced module against its original: their outputs must be equal bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from n2nsurgery.core.errors import TraceError
from n2nsurgery.core.outputs import call
from n2nsurgery.graph.model_inputs import leaves_of
from n2nsurgery.graph.tracing.side_effects import draws_undone
from n2nsurgery.graph.tracing.traced_module import TracedModule


@torch.no_grad()
def require_equal(model: nn.Module, traced: TracedModule, inputs: Mapping[str, Any]) -> None:
    """Raise TraceError unless `traced` returns what `model` returns in eval mode, bit for bit, on the first sample.

    Catches what the graph cannot show, such as a mutation seen through an alias. Modes are restored.
    """
    sample = tree_map_only(torch.Tensor, lambda tensor: tensor[:1] if tensor.dim() else tensor, dict(inputs))
    modes = [(module, module.training) for root in (model, traced) for module in root.modules()]
    try:
        expected, found = (_outputs(module.eval(), sample) for module in (model, traced))
    finally:
        for module, mode in modes:
            module.training = mode
    if len(expected) != len(found) or not all(_same(a, b) for a, b in zip(expected, found, strict=True)):
        raise TraceError(
            f"the traced copy of {type(model).__name__} does not compute what the original does: its code has an effect"
            " that a data-flow graph cannot show (a mutation seen through another name, or state between calls)"
        )


def _outputs(module: nn.Module, sample: Mapping[str, Any]) -> list[object]:
    """What `module` returns, with the same random numbers for every module."""
    with draws_undone():
        return list(leaves_of(call(module, sample)))


def _same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.shape == second.shape and bool(((first == second) | (first != first) & (second != second)).all())  # noqa: PLR0124 - NaN equals NaN here
    return bool(first == second)
