"""Which weights of a skip survive, and with what they start."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from n2nsurgery.core.seeds import numpy_generator, torch_generator
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.graph.weight_layout import WeightLayout
from n2nsurgery.masks.patterns.balanced import balanced_mask, one_to_one
from n2nsurgery.skips.initialize import initialize
from n2nsurgery.skips.spec import SkipSpec


def parameter_of(skip: SkipSpec) -> str:
    """The name of the skip's weight in the pruned network."""
    return f"{skip.name}.weight"


def settle_skip(skip: SkipSpec, weight: nn.Parameter, *, seed: int) -> Tensor:
    """Draw the mask of a skip that has weights, fill `weight` with its start values, and return the mask.

    It depends only on the seed and on the skip's name, pattern and count.
    """
    generator = numpy_generator(seed, "skip pattern", skip.name)
    mask, primary = _random(skip, generator) if skip.pattern == "random" else _one_to_one(skip, weight.shape, generator)
    values = torch_generator(seed, "skip weights", skip.name)
    initialize(weight, mask, start=skip.start, primary=primary, generator=values)
    return mask


def _random(skip: SkipSpec, generator: np.random.Generator) -> tuple[Tensor, None]:
    assert skip.weight_shape is not None
    layout: WeightLayout = "conv" if skip.weight_shape[2:] else "linear"
    weight = PrunableWeight(name=parameter_of(skip), layer=skip.name, shape=skip.weight_shape, layout=layout)
    return balanced_mask(weight, skip.kept, generator), None


def _one_to_one(skip: SkipSpec, shape: torch.Size, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The mask, and its one-to-one part: at the centre of the kernel, one entry for each target channel."""
    targets, sources, *kernel = shape
    primary = torch.zeros(shape, dtype=torch.bool)
    centre = primary.view(targets, sources, -1)[:, :, _centre(kernel)]
    centre.copy_(one_to_one(targets, sources, min(skip.kept, targets), generator))
    return _with_remainder(primary, skip.kept, generator), primary


def _centre(kernel: list[int]) -> int:
    """The flat index of a kernel's centre."""
    return int(np.ravel_multi_index([size // 2 for size in kernel], kernel)) if kernel else 0


def _with_remainder(primary: Tensor, count: int, generator: np.random.Generator) -> Tensor:
    """`primary` and further random entries, `count` in all."""
    mask = primary.numpy().reshape(-1).copy()
    taken = np.flatnonzero(mask)
    free = generator.choice(mask.size - taken.size, size=count - taken.size, replace=False, shuffle=False)
    # The i-th free entry lies behind as many taken ones as there are with at most i free entries before them.
    mask[free + np.searchsorted(taken - np.arange(taken.size), free, side="right")] = True
    return torch.from_numpy(mask.reshape(primary.shape))
