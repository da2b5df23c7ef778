"""What a run is fed: batches that are a pure function of epoch and position, so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
"""Inputs and targets, samples first; targets are class labels, or probabilities (N, classes)."""

Mixing = Callable[[Tensor, Tensor, torch.Generator], Pair]
"""Inputs, targets and a generator of this batch alone -> mixed inputs and targets (mixup, cutmix), on the device."""


class Batches(Protocol):
    """Batches of one process; in an epoch of training all have equally many, of equal sizes but for the last."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Pair]:
        """The batches of epoch `number` from position `start` on, the same whenever they are asked for."""


def grouped(batches: Iterator[Pair], size: int) -> Iterator[list[Pair]]:
    """`size` batches at a time, the last group smaller where they do not come out even."""
    while group := list(islice(batches, size)):
        yield group
