"""Noise in the shape of the example inputs, for criteria that need data where none was given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.data.pipeline.batch import Batch


def noise_batches(
    example_inputs: Sequence[Tensor], *, count: int, batch_size: int, seed: int, num_classes: int | None = None
) -> list[Batch]:
    """`count` batches on the CPU with the shapes and dtypes of `example_inputs` (batch first, at least one).

    Floating-point and complex values are standard normal; others are uniform over the example's range. With
    `num_classes`, the targets are uniform class indices, otherwise there are none. Each batch depends only on the seed
    and its index.
    """
    if count < 1 or batch_size < 1:
        raise UsageError(f"{count} batches of {batch_size} samples: both must be at least 1")
    origin = f"noise(seed={seed},batch_size={batch_size},count={count})"
    return [
        _batch(example_inputs, batch_size, torch_generator(seed, "noise", str(index)), num_classes, origin)
        for index in range(count)
    ]


def _batch(
    example_inputs: Sequence[Tensor], size: int, generator: torch.Generator, num_classes: int | None, origin: str
) -> Batch:
    inputs = tuple(_like(example, size, generator) for example in example_inputs)
    targets = None if num_classes is None else torch.randint(num_classes, (size,), generator=generator)
    return Batch(inputs=inputs, targets=targets, origin=origin)


def _like(example: Tensor, size: int, generator: torch.Generator) -> Tensor:
    shape = (size, *example.shape[1:])
    if example.is_floating_point():
        return torch.randn(shape, generator=generator).to(example.dtype)
    if example.is_complex():
        return torch.randn(shape, dtype=example.dtype, generator=generator)
    low, high = int(example.min()), int(example.max())
    return torch.randint(low, high + 1, shape, generator=generator).to(example.dtype)
