"""Uniform numbers as a function of (salt, position of a sample), whatever batch or rank the sample is in.

    u(i, k) = splitmix64(salt + (i * count + k + 1) * 0x9E3779B97F4A7C15) / 2^64

which is the splitmix64 stream of Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", read
at index i * count + k. A generator of torch hands out its numbers in order, so what one sample gets would depend on
which samples came before it; here it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2nsurgery.core.seeds import derive

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, kw_only=True)
class SampleRng:
    """The randomness of one epoch; two epochs differ by their `salt`."""

    salt: int

    @classmethod
    def of(cls, generator: torch.Generator) -> SampleRng:
        """The SampleRng whose salt is the next number of `generator`."""
        return cls(salt=int(torch.randint(2**62, (), generator=generator)))

    def named(self, name: str) -> SampleRng:
        """Another randomness of the same epoch, which shares no numbers with this one."""
        return SampleRng(salt=derive(self.salt, name))

    def uniform(self, positions: Tensor, count: int) -> Tensor:
        """`count` numbers in [0, 1) for each of n positions: float64 (n, count)."""
        columns = np.arange(1, count + 1, dtype=np.uint64)
        index = positions.numpy().astype(np.uint64)[:, None] * np.uint64(count) + columns
        z: NDArray[np.uint64] = np.uint64(self.salt) + index * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
        z ^= z >> np.uint64(31)
        return torch.from_numpy((z >> np.uint64(11)) * 2.0**-53)
