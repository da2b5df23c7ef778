"""Values as floats: x = (v / range - mean) / deviation for each channel, in one multiplication and one addition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

_PIXEL = 255.0
_BLOCK = 4096  # samples whose moments are taken at once


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Means and deviations by channel, of values whose `range` is mapped to [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    range: float = _PIXEL

    def apply(self, values: Tensor) -> Tensor:
        """`values` (N, C, ...) as float32; integer or floating-point."""
        shape = (1, -1, *(1 for _ in values.shape[2:]))
        scale, shift = (factor.view(shape) for factor in _factors(self))
        return values.float().mul_(scale).add_(shift) if values.dtype != torch.float32 else values * scale + shift

    def sentence(self) -> str:
        """What is done to values, for people."""
        if set(self.mean) == {0.0} and set(self.std) == {1.0}:
            return "values are in [0, 1]" if self.range != 1 else "values are as in the file"
        means, stds = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        return f"each channel is normalized with mean {means} and deviation {stds}"


@lru_cache(maxsize=8)  # asked for by every batch; of 64 features they take as long to make as small batches to scale
def _factors(chosen: Normalization) -> tuple[Tensor, Tensor]:
    """What values are multiplied by, and what is then added, by channel."""
    scale = torch.tensor([1 / (chosen.range * std) for std in chosen.std])
    return scale, torch.tensor([-mean / std for mean, std in zip(chosen.mean, chosen.std, strict=True)])


def unit(channels: int, *, value_range: float = _PIXEL) -> Normalization:
    """Values divided by their range and nothing else."""
    return Normalization(mean=(0.0,) * channels, std=(1.0,) * channels, range=value_range)


def measured(values: Tensor, *, value_range: float) -> Normalization:
    """The normalization that gives `values` (N, C, ...) mean 0 and deviation 1 in each channel.

    A channel that is constant keeps its scale. Moments are exact for uint8, and summed in float64 otherwise.
    """
    moments = [_counted(channel) if values.dtype == torch.uint8 else _summed(channel) for channel in values.unbind(1)]
    return Normalization(
        mean=tuple(mean / value_range for mean, _ in moments),
        std=tuple(math.sqrt(variance) / value_range if variance > 0 else 1.0 for _, variance in moments),
        range=value_range,
    )


def _counted(values: Tensor) -> tuple[float, float]:
    """Mean and variance of uint8 `values` from how often each value occurs."""
    share = torch.bincount(values.flatten(), minlength=256).double() / values.numel()
    levels = torch.arange(256).double()
    mean = float(share @ levels)
    return mean, float(share @ (levels - mean).square())


def _summed(values: Tensor) -> tuple[float, float]:
    blocks = [values[start : start + _BLOCK] for start in range(0, values.shape[0], _BLOCK)]
    mean = sum(float(block.double().sum()) for block in blocks) / values.numel()
    return mean, sum(float((block.double() - mean).square().sum()) for block in blocks) / values.numel()
