"""Images decoded when they are read, for those that are many and large, with the augmentation of ImageNet.

Training: a window of 8 to 100 % of the image's area with a width between 3/4 and 4/3 of its height, resized, and every
second one mirrored (Szegedy et al. 2015, "Going deeper with convolutions", section 6). Evaluation: the shorter side
resized to 256/224 of the size, and its centre cut out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from n2nsurgery.data.files.decoding import decoded
from n2nsurgery.data.pipeline.augmentation import PLAIN, Augmentation
from n2nsurgery.data.pipeline.normalization import Normalization
from n2nsurgery.data.pipeline.sample_rng import SampleRng

_TRIES = 10
_DRAWS = 4 * _TRIES + 1
_LEAST_AREA = 0.08
_RATIO = math.log(4 / 3)


@dataclass(frozen=True, kw_only=True, eq=False)
class LazyDataset:
    """Images named `names`, the i-th encoded as `encoded(i)`; the model gets them as `size` x `size`."""

    encoded: Callable[[int], bytes]
    names: tuple[str, ...]
    size: int
    normalization: Normalization
    augmentation: Augmentation = PLAIN

    @property
    def shape(self) -> tuple[int, ...]:
        """RGB images of `size` x `size`."""
        return (3, self.size, self.size)

    def read(self, positions: Tensor, rng: SampleRng | None) -> Tensor:
        """The images at `positions`; a random window of each where there are draws, its centre otherwise."""
        numbers = None if rng is None else rng.uniform(positions, _DRAWS).tolist()
        images = torch.empty((len(positions), *self.shape), dtype=torch.uint8)
        for row, index in enumerate(positions.tolist()):
            image = decoded(self.encoded(index), self.names[index])
            image = centre(image, self.size) if numbers is None else random_window(image, numbers[row], self.size)
            images[row] = v2.pil_to_tensor(image)
        if rng is None:
            return self.normalization.apply(images)
        values = self.normalization.apply(self.augmentation.images(images, positions, rng))
        return self.augmentation.erased(values, positions, rng)


def centre(image: Image.Image, size: int) -> Image.Image:
    """The middle `size` x `size` of `image`, whose shorter side was resized to 256/224 of `size`."""
    found: Image.Image = v2.center_crop(v2.resize(image, [size * 256 // 224]), [size, size])
    return found


def random_window(image: Image.Image, draws: list[float], size: int) -> Image.Image:
    """A window of `image` resized to `size` x `size`, and mirrored if the last of the 41 `draws` is below 1/2."""
    top, left, height, width = window(image.height, image.width, draws)
    found: Image.Image = v2.resized_crop(image, top, left, height, width, [size, size])
    if draws[-1] < 0.5:  # noqa: PLR2004 - a fair coin
        found = v2.horizontal_flip(found)
    return found


def window(height: int, width: int, draws: list[float]) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random window; `draws` are 4 numbers in [0, 1) for each of 10 tries.

    The first window that fits is taken; where none does, the largest in the middle whose ratio is allowed.
    """
    for attempt in range(_TRIES):
        area, ratio, top, left = draws[4 * attempt : 4 * attempt + 4]
        pixels = height * width * (_LEAST_AREA + (1 - _LEAST_AREA) * area)
        proportion = math.exp(_RATIO * (2 * ratio - 1))
        wide, high = round(math.sqrt(pixels * proportion)), round(math.sqrt(pixels / proportion))
        if 0 < wide <= width and 0 < high <= height:
            return int(top * (height - high + 1)), int(left * (width - wide + 1)), high, wide
    high = min(height, max(1, round(width * math.exp(_RATIO))))
    wide = min(width, max(1, round(height * math.exp(_RATIO))))
    return (height - high) // 2, (width - wide) // 2, high, wide
