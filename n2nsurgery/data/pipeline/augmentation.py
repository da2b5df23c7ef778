"""Augmentation after crop and mirror: RandAugment, TrivialAugment and random erasing, drawn for each sample by itself.

RandAugment (Cubuk et al. 2020) applies 2 operations of 14 with magnitude 9 of 30 one after the other; TrivialAugment in
its wide form (Mueller and Hutter 2021, table 1) applies one with a random magnitude. Operations and their ranges are
those of torchvision's transforms of these names, and it is torchvision that carries them out. Its transforms draw from
the global generator, which the threads of a loader share; here operation, magnitude and sign come from `SampleRng`.

Random erasing (Zhong et al. 2020, algorithm 1) sets a rectangle of 2 to 33 % of the area, with a ratio of sides between
0.3 and 1 / 0.3, to the mean of the normalized image, 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.sample_rng import SampleRng

Policy = Literal["none", "randaugment", "trivialaugment"]
_STEPS = 30  # magnitudes are from 0 to this
_MAGNITUDE, _OPERATIONS = 9, 2  # of RandAugment
_TRIES = 10  # of random erasing
_AREA, _RATIO = (0.02, 0.33), (0.3, 1 / 0.3)
# operation -> its largest magnitude in RandAugment, in TrivialAugment; those of a signed one go both ways
_SIGNED = {
    "shear_x": (0.3, 0.99),
    "shear_y": (0.3, 0.99),
    "translate_x": (150 / 331, 32.0),  # a part of the width; pixels
    "translate_y": (150 / 331, 32.0),
    "rotate": (30.0, 135.0),
    "brightness": (0.9, 0.99),
    "saturation": (0.9, 0.99),
    "contrast": (0.9, 0.99),
    "sharpness": (0.9, 0.99),
}
_UNSIGNED = {"posterize": (4.0, 6.0), "solarize": (1.0, 1.0)}
OPERATIONS = ("identity", *_SIGNED, *_UNSIGNED, "autocontrast", "equalize")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """`policy` for images in uint8; `erasing`: the probability of random erasing, in [0, 1]."""

    policy: Policy = "none"
    erasing: float = 0.0

    def images(self, images: Tensor, positions: Tensor, rng: SampleRng) -> Tensor:
        """`images` (n, C, H, W) in uint8 after the policy. Raises UsageError for images that are not in uint8."""
        if self.policy == "none":
            return images
        if images.dtype != torch.uint8:
            raise UsageError(f"augment = {self.policy} needs images in uint8; they are {images.dtype}")
        count = _OPERATIONS if self.policy == "randaugment" else 1
        numbers = rng.named("policy").uniform(positions, 3 * count).view(len(positions), count, 3)
        return torch.stack([self._augmented(image, row) for image, row in zip(images, numbers.tolist(), strict=True)])

    def erased(self, values: Tensor, positions: Tensor, rng: SampleRng) -> Tensor:
        """Normalized `values` (n, C, H, W), a rectangle of some of them at 0."""
        if not self.erasing:
            return values
        numbers = rng.named("erasing").uniform(positions, 1 + 4 * _TRIES).tolist()
        for image, row in zip(values, numbers, strict=True):
            if row[0] < self.erasing:
                top, left, height, width = _rectangle(image.shape[-2], image.shape[-1], row[1:])
                image[:, top : top + height, left : left + width] = 0
        return values

    def sentence(self) -> tuple[str, ...]:
        """What is done, for people; none where nothing is."""
        named = {"randaugment": "RandAugment", "trivialaugment": "TrivialAugment"}
        done = [f"training images go through {named[self.policy]}"] if self.policy != "none" else []
        erased = [f"a rectangle is erased of {self.erasing:.0%} of the training images"] if self.erasing else []
        return (*done, *erased)

    def _augmented(self, image: Tensor, rows: list[list[float]]) -> Tensor:
        wide = self.policy == "trivialaugment"
        for choice, size, sign in rows:
            step = int(size * (_STEPS + 1)) if wide else _MAGNITUDE
            image = augmented(
                image,
                OPERATIONS[int(choice * len(OPERATIONS))],
                step,
                negative=sign < 0.5,  # noqa: PLR2004 - a fair coin
                wide=wide,
            )
        return image


PLAIN = Augmentation()


def augmented(image: Tensor, operation: str, step: int, *, negative: bool, wide: bool) -> Tensor:
    """`image` (C, H, W) in uint8 after one of OPERATIONS with magnitude `step` of 30; `wide`: of TrivialAugment."""
    part = step / _STEPS
    if operation in _SIGNED:
        most = _SIGNED[operation][wide]
        if operation.startswith("translate") and not wide:
            most *= image.shape[-1] if operation.endswith("x") else image.shape[-2]
        return _signed(image, operation, -part * most if negative else part * most)
    if operation == "posterize":
        return _tensor(v2.posterize(image, bits=8 - round(part * _UNSIGNED[operation][wide])))
    if operation == "solarize":
        return _tensor(v2.solarize(image, threshold=255 * (1 - part)))
    if operation == "identity":
        return image
    return _tensor(v2.autocontrast(image) if operation == "autocontrast" else v2.equalize(image))


def _signed(image: Tensor, operation: str, magnitude: float) -> Tensor:
    kind, _, axis = operation.partition("_")
    along = [magnitude, 0.0] if axis == "x" else [0.0, magnitude]
    if kind == "translate":
        shift = [int(each) for each in along]
        return _tensor(v2.affine(image, angle=0.0, translate=shift, scale=1.0, shear=[0.0, 0.0]))
    if kind == "shear":
        angles = [math.degrees(math.atan(each)) for each in along]
        return _tensor(v2.affine(image, angle=0.0, translate=[0, 0], scale=1.0, shear=angles, center=[0, 0]))
    if kind == "rotate":
        return _tensor(v2.rotate(image, angle=magnitude))
    return _tensor(getattr(v2, f"adjust_{kind}")(image, 1 + magnitude))


def _tensor(image: Tensor) -> Tensor:
    return image


def _rectangle(height: int, width: int, numbers: list[float]) -> tuple[int, int, int, int]:
    """Top, left, height and width of the first of 10 random rectangles that fits; of no size where none does."""
    low, high = (math.log(bound) for bound in _RATIO)
    for attempt in range(_TRIES):
        area, ratio, top, left = numbers[4 * attempt : 4 * attempt + 4]
        pixels = height * width * (_AREA[0] + (_AREA[1] - _AREA[0]) * area)
        proportion = math.exp(low + (high - low) * ratio)
        tall, wide = round(math.sqrt(pixels * proportion)), round(math.sqrt(pixels / proportion))
        if tall < height and wide < width:
            return int(top * (height - tall + 1)), int(left * (width - wide + 1)), tall, wide
    return 0, 0, 0, 0
