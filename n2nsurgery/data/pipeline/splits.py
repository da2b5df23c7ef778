"""Split: samples with targets, read in batches; and the splits of one data set.

A split is a selection of positions in a source, so that training and validation samples can lie in one array. What is
drawn for a sample depends on its position there and on the generator's state alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from n2nsurgery.data.pipeline.sample_rng import SampleRng


class SampleSource(Protocol):
    """Samples that can be read by position, any number of times and from several threads."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample as the model gets it."""
        ...

    def read(self, positions: Tensor, rng: SampleRng | None) -> Tensor:
        """The samples at `positions` (int64, n) as float32 (n, *shape); augmented where there are draws."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """`size` samples of `source`: sample i is at `positions[i]` and has class `targets[i]` (both int64)."""

    name: str
    classes: int
    source: SampleSource
    positions: Tensor
    targets: Tensor
    augmented: bool = False

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.targets.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample as the model gets it: (C, H, W) or (features,)."""
        return self.source.shape

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Inputs (n, *shape) in float32 after the transforms, and targets (n,), of the samples at `indices` (int64).

        An augmented split draws from `generator`; without one, the samples come as they are in evaluation. Equal
        states of the generator give a sample equal draws, whichever samples are beside it.
        """
        rng = SampleRng.of(generator) if generator is not None and self.augmented else None
        return self.source.read(self.positions[indices], rng), self.targets[indices]


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSplits:
    """The splits of one data set; `description` says in sentences where it was found and what is done to it."""

    train: Split
    validation: Split | None
    test: Split
    classes: int
    description: tuple[str, ...]
