"""Holds a traced module against its original: their outputs must be equal bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from n2nsurgery.core.errors import TraceError
from n2nsurgery.graph.tracing.traced_module import TracedModule


@torch.no_grad()
def require_equal(model: nn.Module, traced: TracedModule, inputs: Mapping[str, Any]) -> None:
    """Raise TraceError unless `traced` returns what `model` returns in eval mode, bit for bit, on the first sample.

    Catches what the graph cannot show, such as a mutation seen through an alias. Modes are restored.
    """
    sample = {name: value[:1] if isinstance(value, torch.Tensor) else value for name, value in inputs.items()}
    modes = [(module, module.training) for root in (model, traced) for module in root.modules()]
    try:
        expected, found = (tree_leaves(module.eval()(**sample)) for module in (model, traced))
    finally:
        for module, mode in modes:
            module.training = mode
    if len(expected) != len(found) or not all(_same(a, b) for a, b in zip(expected, found, strict=True)):
        raise TraceError(
            f"the traced copy of {type(model).__name__} does not compute what the original does: its code has an effect"
            " that a data-flow graph cannot show (a mutation seen through another name, or state between calls)"
        )


def _same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.shape == second.shape and bool(((first == second) | (first != first) & (second != second)).all())  # noqa: PLR0124 - NaN equals NaN here
    return bool(first == second)
