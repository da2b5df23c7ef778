"""Data set `spirals`: arms of a spiral in the plane, one class each, generated from the seed.

    angle = 2 pi (turns r + class / classes),   x = r (cos angle, sin angle) + noise

with r uniform in [0, 1] and normal noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.data.assembly.assembly import Part, assemble
from n2nsurgery.data.assembly.options import SplitOptions, require_count
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset
from n2nsurgery.data.pipeline.normalization import unit
from n2nsurgery.data.pipeline.splits import DataSplits


@dataclass(frozen=True, kw_only=True)
class Spirals(SplitOptions):
    """`train` and `test` samples of `classes` arms, each of `turns` turns; `noise`: standard deviation, 0 or more."""

    classes: int = 3
    train: int = 512
    test: int = 256
    turns: float = 0.75
    noise: float = 0.02

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        for name in ("classes", "train", "test"):
            require_count(name, getattr(self, name))
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise UsageError(f"noise is {self.noise}; it must be at least 0")

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:  # noqa: ARG002 - generated
        """The splits, generated; neither `root` nor `download` is looked at."""
        return assemble(
            classes=self.classes,
            train=self._part(self.train, torch_generator(seed, "spirals", "train")),
            test=self._part(self.test, torch_generator(seed, "spirals", "test")),
            selection=self.selection(seed),
            augmented=False,
            description=(f"{self.classes} arms of a spiral, generated from seed {seed}; this is not real data",),
        )

    def _part(self, count: int, generator: torch.Generator) -> Part:
        targets = torch.arange(count) % self.classes
        radius = torch.rand(count, generator=generator)
        angle = 2 * math.pi * (self.turns * radius + targets / self.classes)
        points = radius.unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], dim=1)
        points += self.noise * torch.randn(points.shape, generator=generator)
        return Part(source=InMemoryDataset(values=points, normalization=unit(2, value_range=1)), targets=targets)
