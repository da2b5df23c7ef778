"""Two samples blended into one, their targets alike: mixup and CutMix on whole batches.

    x~ = lambda x + (1 - lambda) x',   y~ = lambda y + (1 - lambda) y',   lambda ~ Beta(alpha, alpha)

Mixup: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", equation 1. CutMix puts a rectangle of x' with
sides sqrt(1 - lambda) of x's into x, centred anywhere and clipped, and takes for lambda the part of x that is left:
Yun et al. 2019, "CutMix", equations 1 and 2. x' is the sample before x in the batch, which is shuffled. torchvision's
transforms of these names draw from the global generator, which is why they are written out here.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import require_choice

Mixing = Literal["mixup", "cutmix"]
_IMAGES = 4  # dimensions of a batch of images


def mix(  # noqa: PLR0913, PLR0917 - the call of one line in a training loop
    inputs: Tensor, targets: Tensor, classes: int, kind: Mixing, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mixed `inputs`, and their soft targets: of classes (n, classes) in float32, whose rows sum to 1.

    `inputs` (n, ...) are floating-point, images (n, C, H, W) for "cutmix". `targets` (n,) are classes, or real numbers
    (n, ...), which are mixed as they are. One lambda for the batch is drawn from `generator`. Raises
    UsageError for what cannot be mixed, on the CPU also for labels that are no classes.
    """
    require_choice("mixing", kind, get_args(Mixing))
    if not (math.isfinite(alpha) and alpha > 0):
        raise UsageError(f"alpha = {alpha}: it must be above 0")
    if kind == "cutmix" and inputs.ndim != _IMAGES:
        raise UsageError(f"cutmix mixes images (n, C, H, W); the inputs have shape {tuple(inputs.shape)}")
    # torch has a public Beta distribution, but none that takes a generator.
    numbers = np.random.Generator(
        np.random.PCG64(int(torch.randint(2**62, (), generator=generator, device=generator.device)))
    )
    share = float(numbers.beta(alpha, alpha))
    if kind == "mixup":
        mixed = torch.lerp(inputs.roll(1, 0), inputs, share)
    else:
        mixed, share = _cut(inputs, share, numbers)
    hard = targets if targets.is_floating_point() else _one_hot(targets, classes)
    return mixed, torch.lerp(hard.roll(1, 0), hard, share)


def _one_hot(targets: Tensor, classes: int) -> Tensor:
    if targets.ndim != 1:
        raise UsageError(
            f"mixing takes one class for each sample, or floating-point targets; these are {targets.dtype} of shape "
            f"{tuple(targets.shape)}"
        )
    if targets.device.type == "cpu":
        wrong = targets[(targets < 0) | (targets >= classes)]
        if wrong.numel():
            raise UsageError(
                f"mixing blends classes from 0 to {classes - 1}, and a label is {int(wrong[0])}; a label that does not "
                "count cannot be mixed: leave out mixing, or such samples"
            )
    return F.one_hot(targets, classes).float()


def _cut(images: Tensor, share: float, numbers: np.random.Generator) -> tuple[Tensor, float]:
    """`images` with a rectangle of their neighbours, and the part of the area that is their own."""
    height, width = images.shape[-2:]
    side = math.sqrt(1 - share)
    row, column = int(numbers.integers(height)), int(numbers.integers(width))
    half = int(side * height) // 2, int(side * width) // 2
    top, bottom = max(0, row - half[0]), min(height, row + half[0])
    left, right = max(0, column - half[1]), min(width, column + half[1])
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images.roll(1, 0)[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)
