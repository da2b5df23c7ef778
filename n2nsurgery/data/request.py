"""DataRequest: which data set is wanted, with its options, the folder that it lies in, and how its batches are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.mixing import Mixing, mix
from n2nsurgery.data.pipeline.splits import DataSplits
from n2nsurgery.data.registry import DataSet


@dataclass(frozen=True, kw_only=True)
class MixingRequest:
    """Mixup or CutMix of training batches, with lambda from Beta(alpha, alpha); raises UsageError unless alpha > 0."""

    kind: Mixing
    alpha: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what no distribution can be."""
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise UsageError(f"is {self.alpha}; it must be above 0", field="alpha", joint=" ")


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """The data set `name`, made with `options`, from files below `root` (None: see `location.data_root`).

    `workers`: threads that prepare batches ahead; they change nothing of what is in them. `mixing`: None for none.
    """

    name: str
    options: DataSet
    root: Path | None = None
    workers: int = 0
    mixing: MixingRequest | None = None

    def __post_init__(self) -> None:
        """Refuse a number of threads below 0."""
        if self.workers < 0:
            raise UsageError(f"is {self.workers}; it must be at least 0", field="workers", joint=" ")

    def load(self, *, download: bool, seed: int) -> DataSplits:
        """The splits; see `DataSet.load`."""
        return self.options.load(self.root, download=download, seed=seed)

    def mixed(self, inputs: Tensor, targets: Tensor, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A training batch as `mixing` asks for it, see `mixing.mix`."""
        if self.mixing is None:
            return inputs, targets
        return mix(inputs, targets, classes, self.mixing.kind, self.mixing.alpha, generator)
