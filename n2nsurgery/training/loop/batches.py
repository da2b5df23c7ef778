"""What a run is fed: batches that are a pure function of epoch and position, so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError

Pair = tuple[Any, Any]
"""Inputs and targets, samples first: a tensor each, or tuples, lists or dicts of tensors.

Inputs are what the model is called with: a tuple or list by position, a dict by name. Targets are what the loss takes.
"""

Mixing = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""Inputs, targets and a generator of this batch alone -> mixed inputs and targets (mixup, cutmix), on the device."""


class Batches(Protocol):
    """Batches of one process; in an epoch of training all have equally many, of equal sizes but for the last."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Pair]:
        """The batches of epoch `number` from position `start` on, the same whenever they are asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainData:
    """What a run is fed: batches of training, of every split that is evaluated, and how training batches are mixed.

    Checkpoints are ranked by the split called `validation`.
    """

    train: Batches
    evaluations: Mapping[str, Batches] = field(default_factory=dict)
    mixing: Mixing | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a split without a batch."""
        for name, batches in {"train": self.train, **self.evaluations}.items():
            if not len(batches):
                raise UsageError(f"the {name} split has no batch; it needs at least as many samples as one batch")


def grouped(batches: Iterator[Pair], size: int) -> Iterator[list[Pair]]:
    """`size` batches at a time, the last group smaller where they do not come out even."""
    while group := list(islice(batches, size)):
        yield group
