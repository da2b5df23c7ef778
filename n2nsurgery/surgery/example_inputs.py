"""Example inputs that fit a plan's input specs."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.surgery.planning.plan import InputSpec


def examples(inputs: Iterable[InputSpec]) -> list[torch.Tensor]:
    """An example of every input, the same for the same name and shape."""
    return [_example(spec) for spec in inputs]


def _example(spec: InputSpec) -> torch.Tensor:
    """A seeded example of an input: noise for floating point, zeros for indices (always a valid one)."""
    dtype = getattr(torch, spec.dtype)
    if not dtype.is_floating_point:
        return torch.zeros(spec.shape, dtype=dtype)
    return torch.randn(spec.shape, generator=torch_generator(0, "export", spec.name)).to(dtype)


def zero_inputs(inputs: Iterable[InputSpec], device: torch.device | None = None) -> dict[str, torch.Tensor]:
    """Zeros for every input, by name: valid wherever only shapes and types count."""
    return {spec.name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device=device) for spec in inputs}
