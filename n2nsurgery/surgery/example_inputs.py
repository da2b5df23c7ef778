"""Example inputs that fit a plan's input specs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import listed
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.surgery.planning.plan import InputSpec


def examples(inputs: Iterable[InputSpec]) -> list[Tensor]:
    """An example of every input, the same for the same name and shape."""
    return [_example(spec) for spec in inputs]


def given_examples(
    inputs: Sequence[InputSpec],
    given: Tensor | Sequence[Any] | Mapping[str, Any],
    *,
    field: str = "example_inputs",
) -> list[Tensor]:
    """The example that was `given` for every input, on the CPU: a tensor, tensors in the inputs' order, or by name.

    Raises UsageError, of the argument `field`, where names, types or shapes are not those of `inputs`; the batch is
    free.
    """
    values = (given,) if isinstance(given, Tensor) else given
    named = values if isinstance(values, Mapping) else dict(zip((spec.name for spec in inputs), values, strict=False))
    wanted = [spec.name for spec in inputs]
    if sorted(named) != sorted(wanted) or len(values) != len(wanted):
        seen = listed(list(named)) if isinstance(values, Mapping) else f"{len(values)} inputs"
        raise UsageError(f"has {seen}; needed are {listed(wanted)}", field=field, joint=" ")
    return [_fitting(spec, torch.as_tensor(named[spec.name]).detach().cpu(), field) for spec in inputs]


def _fitting(spec: InputSpec, value: Tensor, field: str) -> Tensor:
    dtype = str(value.dtype).removeprefix("torch.")
    if (dtype, tuple(value.shape[1:])) != (spec.dtype, spec.shape[1:]) or not value.dim():
        raise UsageError(
            f"has '{spec.name}' as {dtype} of shape {tuple(value.shape)}; the network takes {spec.dtype} of shape"
            f" (batch, {', '.join(map(str, spec.shape[1:]))})",
            field=field,
            joint=" ",
        )
    return value


def _example(spec: InputSpec) -> Tensor:
    """Seeded noise; without fractions, ones and zeros in turn: indices that exist, or a mask that hides a part."""
    dtype = getattr(torch, spec.dtype)
    if not dtype.is_floating_point:
        last = spec.shape[-1] if spec.shape else 1
        return (1 - torch.arange(last) % 2).expand(spec.shape).clone().to(dtype)
    return torch.randn(spec.shape, generator=torch_generator(0, "export", spec.name)).to(dtype)


def zero_inputs(inputs: Iterable[InputSpec], device: torch.device | None = None) -> dict[str, Tensor]:
    """Zeros for every input, by name: valid wherever only shapes and types count."""
    return {spec.name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device=device) for spec in inputs}
