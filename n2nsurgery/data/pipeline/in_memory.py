"""Samples held in memory as one tensor, and the augmentation of small images, on whole batches.

The augmentation of small images is the usual one of CIFAR: zeros are put around the image, a window of the image's
size is cut out at random, and every second image is mirrored. The window and the mirror are one gather.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from n2nsurgery.data.files.memory import require_memory
from n2nsurgery.data.pipeline.augmentation import PLAIN, Augmentation
from n2nsurgery.data.pipeline.normalization import Normalization
from n2nsurgery.data.pipeline.sample_rng import SampleRng

PADDING = 4  # of 32 pixels; an eighth of other sizes
_BLOCK = 2048  # images resized at once


@dataclass(frozen=True, kw_only=True, eq=False)
class InMemoryDataset:
    """`values` (N, C, H, W) or (N, features), uint8 or float32; only images can be augmented."""

    values: Tensor
    normalization: Normalization
    augmentation: Augmentation = PLAIN

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.values.shape[1:])

    def read(self, positions: Tensor, rng: SampleRng | None) -> Tensor:
        """The samples at `positions`, shifted, mirrored and augmented where there are draws."""
        values = self.values[positions]
        if rng is None:
            return self.normalization.apply(values)
        values = shift_and_mirror(values, rng.uniform(positions, 3), padding_of(values.shape[-1]))
        values = self.normalization.apply(self.augmentation.images(values, positions, rng))
        return self.augmentation.erased(values, positions, rng)


def padding_of(size: int) -> int:
    """Pixels put on each side of an image of `size` before it is cropped: 4 for 32, at least 1."""
    return max(1, size * PADDING // 32)


def shift_and_mirror(images: Tensor, draws: Tensor, padding: int) -> Tensor:
    """`images` (n, C, H, W), each shifted by up to `padding` pixels each way and mirrored by chance; zeros come in.

    `draws` (n, 3) in [0, 1) decide on the row, the column and the mirror: equal chances for each shift, 1/2 for the
    mirror.
    """
    count, channels, height, width = images.shape
    row, column = (draws[:, :2] * (2 * padding + 1)).long().unbind(1)
    rows = torch.arange(height) + row[:, None]
    columns = torch.arange(width).expand(count, -1)
    columns = torch.where(draws[:, 2:] < 0.5, columns.flip(1), columns) + column[:, None]  # noqa: PLR2004 - a fair coin
    window = (rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]).view(count, 1, -1)
    padded = v2.pad(images, [padding] * 4).flatten(2)
    found: Tensor = padded.gather(2, window.expand(-1, channels, -1)).view(images.shape)
    return found


def resized(images: Tensor, size: int | None) -> Tensor:
    """`images` (N, C, H, W) in uint8 at `size` x `size`, by antialiased bilinear interpolation; None keeps them."""
    if size is None or images.shape[-2:] == (size, size):
        return images
    require_memory(images.shape[0], images.shape[1] * size**2)
    blocks = (images[start : start + _BLOCK] for start in range(0, images.shape[0], _BLOCK))
    return torch.cat([v2.resize(block, [size, size], antialias=True) for block in blocks])
