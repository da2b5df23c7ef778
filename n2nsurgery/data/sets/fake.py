"""Data set `fake`: a pattern for each class under noise, generated from the seed; for trying things out.

    x = (signal * pattern_class + noise) / sqrt(signal^2 + 1),   pattern and noise standard normal

Patterns of images are constant in squares of a quarter of their size, so that convolutions find them too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from n2nsurgery.core.config.options import option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.data.assembly.assembly import Part, assemble
from n2nsurgery.data.assembly.options import SplitOptions, require_count
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset
from n2nsurgery.data.pipeline.normalization import unit
from n2nsurgery.data.pipeline.splits import DataSplits

_IMAGE = 3  # dimensions of an image
_SQUARES = 4  # along each side
_MOST_VALUES = 1 << 31


@dataclass(frozen=True, kw_only=True)
class Fake(SplitOptions):
    """`shape` is that of a sample: (C, H, W) or (features,). `signal` is the pattern's strength, the noise's is 1."""

    classes: int = field(default=10, metadata=option("number of classes"))
    shape: tuple[int, ...] = field(default=(3, 32, 32), metadata=option("of a sample: (C, H, W) or (features,)"))
    train: int = field(default=512, metadata=option("training samples"))
    test: int = field(default=256, metadata=option("test samples"))
    signal: float = field(default=1.0, metadata=option("strength of the pattern; that of the noise is 1"))

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        for name in ("classes", "train", "test"):
            require_count(name, getattr(self, name))
        if len(self.shape) not in {1, _IMAGE} or any(side < 1 for side in self.shape):
            raise UsageError(
                f"shape = {self.shape}: (channels, height, width) or (features,) is needed, each at least 1"
            )
        if not (math.isfinite(self.signal) and self.signal >= 0):
            raise UsageError(f"signal = {self.signal}: it must be at least 0")
        values = (self.train + self.test) * math.prod(self.shape)
        if values > _MOST_VALUES:
            raise UsageError(f"{values} values would be generated; at most {_MOST_VALUES} are")

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:  # noqa: ARG002 - generated
        """The splits, generated; neither `root` nor `download` is looked at."""
        patterns = self._patterns(torch_generator(seed, "fake patterns"))
        train, test = (
            self._part(patterns, count, torch_generator(seed, "fake samples", name))
            for name, count in (("train", self.train), ("test", self.test))
        )
        return assemble(
            classes=self.classes,
            train=train,
            test=test,
            selection=self.selection(seed),
            augmented=False,
            description=(f"a pattern for each class under noise, generated from seed {seed}; this is not real data",),
        )

    def _patterns(self, generator: torch.Generator) -> Tensor:
        if len(self.shape) != _IMAGE:
            return torch.randn((self.classes, *self.shape), generator=generator)
        channels, height, width = self.shape
        coarse = torch.randn((self.classes, channels, _SQUARES, _SQUARES), generator=generator)
        return torch.nn.functional.interpolate(coarse, size=(height, width))

    def _part(self, patterns: Tensor, count: int, generator: torch.Generator) -> Part:
        targets = torch.arange(count) % self.classes
        values = torch.randn((count, *self.shape), generator=generator)
        values.add_(patterns[targets], alpha=self.signal).div_(math.sqrt(self.signal**2 + 1))
        return Part(
            source=InMemoryDataset(values=values, normalization=unit(self.shape[0], value_range=1)), targets=targets
        )


MEMBER = Fake
