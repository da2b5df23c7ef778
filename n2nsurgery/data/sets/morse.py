"""Data set `morse`: noisy Morse codewords in frames of 64 values, 64 classes, generated from the seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from n2nsurgery.core.config.options import option
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.core.validation import require_choice
from n2nsurgery.data.assembly.assembly import Part, assemble
from n2nsurgery.data.assembly.morse_code import DIFFICULTIES, FRAME, LEVELS, Difficulty, codewords, frames
from n2nsurgery.data.assembly.options import LimitOptions, require_count
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset
from n2nsurgery.data.pipeline.normalization import unit
from n2nsurgery.data.pipeline.splits import DataSplits


@dataclass(frozen=True, kw_only=True)
class Morse(LimitOptions):
    """Samples of each of the 64 classes: 5000 to train, 1000 to validate, 1000 to test, as in the paper."""

    difficulty: Literal["baseline", "difficult"] = field(
        default="baseline", metadata=option("which of the paper's two versions")
    )
    train_per_class: int = field(default=5000, metadata=option("training samples of each of the 64 classes"))
    validation_per_class: int = field(default=1000, metadata=option("validation samples of each class"))
    test_per_class: int = field(default=1000, metadata=option("test samples of each class"))

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        require_choice("difficulty", self.difficulty, tuple(DIFFICULTIES))
        for name in ("train_per_class", "validation_per_class", "test_per_class"):
            require_count(name, getattr(self, name))

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:  # noqa: ARG002 - generated
        """The splits, generated; neither `root` nor `download` is looked at."""
        words = codewords()
        difficulty = DIFFICULTIES[self.difficulty]
        sizes = {
            "train": self.train_per_class,
            "validation": self.validation_per_class,
            "test": self.test_per_class,
        }
        parts = {name: _part(words, count, difficulty, seed, name) for name, count in sizes.items()}
        return assemble(
            classes=len(words),
            **parts,
            selection=self.selection(seed),
            augmented=False,
            description=(
                f"Morse codewords, {self.difficulty}, generated from seed {seed}",
                "two of the 64 classes share a codeword, so at most 99.2 % of the samples can be classified",
                f"values are levels from 0 to {LEVELS}, divided by {LEVELS}",
            ),
        )


def _part(words: dict[str, str], count: int, difficulty: Difficulty, seed: int, split: str) -> Part:
    levels = [
        frames(word, count, difficulty, numpy_generator(seed, f"morse {split}", name)) for name, word in words.items()
    ]
    values = torch.from_numpy(np.concatenate(levels))
    source = InMemoryDataset(values=values, normalization=unit(FRAME, value_range=LEVELS))
    return Part(source=source, targets=torch.arange(len(words)).repeat_interleave(count))


MEMBER = Morse
