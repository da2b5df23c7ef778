"""Which samples are in which batch of which epoch, and on which rank: a pure function of (seed, epoch, batch).

The order of an epoch comes from (seed, epoch). The ranks share out one global batch, which is the same for any number
of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import torch_generator


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """The positions 0 to `size` - 1 of the split called `name` in batches of `batch_size`.

    `batch_size` counts the samples of all ranks and is a multiple of `world_size`. The last batch is smaller where the
    split is not a multiple; its shares then differ by at most one sample, and an empty one is left out. `limit` keeps
    the first so many batches of each epoch. Raises UsageError for values out of range, and where a shuffled epoch would
    give one rank fewer batches than another, who would wait for it for ever.
    """

    name: str
    size: int
    batch_size: int
    shuffle: bool
    seed: int
    drop_last: bool
    rank: int = 0
    world_size: int = 1
    limit: int | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        if not 0 <= self.rank < self.world_size:
            raise UsageError(
                f"rank = {self.rank} of world_size = {self.world_size}: ranks are from 0 to {self.world_size - 1}"
            )
        if self.batch_size < 1 or self.batch_size % self.world_size:
            raise UsageError(
                f"batch_size = {self.batch_size}: it counts the samples of all ranks and must be a positive "
                f"multiple of their number, {self.world_size}"
            )
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit = {self.limit}: it must be at least 1, or None")
        if not self.size:
            raise UsageError(f"the {self.name} split has no samples; give a data set that has some")
        whole, rest = divmod(self.size, self.batch_size)
        if not whole and (self.drop_last or not rest):
            raise UsageError(
                f"the {self.name} split has {self.size} samples, fewer than one batch of {self.batch_size}; "
                "take a smaller batch_size"
            )
        if self.shuffle and not self.drop_last and 0 < rest < self.world_size:
            raise UsageError(
                f"the last batch has {rest} samples for {self.world_size} ranks; set drop_last or another batch_size"
            )

    def __len__(self) -> int:
        """Batches per epoch of this rank."""
        whole, rest = divmod(self.size, self.batch_size)
        first, end = self._bounds(0 if self.drop_last else rest)
        count = whole + (end > first)
        return count if self.limit is None else min(count, self.limit)

    def batches(self, epoch: int, start: int = 0) -> tuple[Tensor, ...]:
        """The positions (int64) of this rank's samples in each batch of `epoch` (from 0), from batch `start` on.

        Raises UsageError for an epoch or a batch that there is not.
        """
        if epoch < 0 or not 0 <= start <= len(self):
            raise UsageError(f"epoch {epoch}, batch {start}: epochs start at 0, batches are from 0 to {len(self)}")
        order = self._shuffled(epoch)
        return tuple(self._share(order, index) for index in range(start, len(self)))

    def _shuffled(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.size)
        return torch.randperm(self.size, generator=torch_generator(self.seed, "shuffle", str(epoch)))

    def _share(self, order: Tensor, index: int) -> Tensor:
        together = order[index * self.batch_size : (index + 1) * self.batch_size]
        first, end = self._bounds(together.shape[0])
        return together[first:end]

    def _bounds(self, count: int) -> tuple[int, int]:
        """Where this rank's share of `count` samples begins and ends; the first ranks get what is over."""
        each, more = divmod(count, self.world_size)
        first = each * self.rank + min(self.rank, more)
        return first, first + each + (self.rank < more)
