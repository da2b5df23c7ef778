"""Batches of an epoch as a pure function of (seed, epoch, batch), so that training resumes anywhere and on any ranks.

The order of an epoch comes from (seed, epoch), what augmentation draws for a sample from (seed, epoch, the sample). So
batch b of an epoch needs none of the batches before it; the ranks share out one global batch, which is the same for
any number of them; and workers, who prepare later batches meanwhile, change nothing. They are threads: decoding and
torch's kernels release the interpreter, and nothing has to be copied between processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.data.pipeline.splits import Split

_AHEAD = 2  # batches prepared for each worker


@dataclass(frozen=True, eq=False)
class Loader:
    """Batches of `batch_size` samples of `split`, of which this rank gets its share.

    `batch_size` counts the samples of all ranks and is a multiple of `world_size`. The last batch is smaller where the
    split is no multiple; its shares then differ by at most one sample, and an empty one is left out. `limit` keeps the
    first so many batches of each epoch. Raises UsageError for values out of range, and where a shuffled epoch would
    give one rank fewer batches than another, who would wait for it for ever.
    """

    split: Split
    batch_size: int
    _: KW_ONLY
    shuffle: bool
    seed: int
    augment: bool
    drop_last: bool
    rank: int = 0
    world_size: int = 1
    workers: int = 0
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
        if self.workers < 0 or (self.limit is not None and self.limit < 1):
            raise UsageError(f"workers = {self.workers} must be at least 0, limit = {self.limit} at least 1 or None")
        whole, rest = divmod(self.split.size, self.batch_size)
        if not whole and (self.drop_last or not rest):
            raise UsageError(
                f"the {self.split.name} split has {self.split.size} samples, fewer than one batch of "
                f"{self.batch_size}; take a smaller batch_size"
            )
        if self.shuffle and not self.drop_last and 0 < rest < self.world_size:
            raise UsageError(
                f"the last batch has {rest} samples for {self.world_size} ranks; set drop_last or another batch_size"
            )

    def __len__(self) -> int:
        """Batches per epoch of this rank."""
        whole, rest = divmod(self.split.size, self.batch_size)
        first, end = self._bounds(0 if self.drop_last else rest)
        count = whole + (end > first)
        return count if self.limit is None else min(count, self.limit)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of this rank for the batches of epoch `number` (from 0), from batch `start` on."""
        if number < 0 or not 0 <= start <= len(self):
            raise UsageError(f"epoch {number}, batch {start}: epochs start at 0, batches are from 0 to {len(self)}")
        return self._batches(number, start)

    def indices(self, number: int, index: int) -> Tensor:
        """Positions in the split (int64) of this rank's samples in batch `index` of epoch `number`."""
        return self._share(self._order(number), index)

    def _batches(self, number: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = self._order(number)
        todo = iter(range(start, len(self)))
        if not self.workers:
            yield from (self._batch(order, number, index) for index in todo)
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="n2nsurgery-loader") as pool:
            pending: deque[Future[tuple[Tensor, Tensor]]] = deque()
            try:
                for index in todo:
                    pending.append(pool.submit(self._batch, order, number, index))
                    if len(pending) >= self.workers * _AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:  # the caller may leave in the middle of the epoch
                for future in pending:
                    future.cancel()

    def _batch(self, order: Tensor, number: int, index: int) -> tuple[Tensor, Tensor]:
        generator = torch_generator(self.seed, "augment", str(number)) if self.augment else None
        return self.split.batch(self._share(order, index), generator)

    def _order(self, number: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.split.size)
        return torch.randperm(self.split.size, generator=torch_generator(self.seed, "shuffle", str(number)))

    def _share(self, order: Tensor, index: int) -> Tensor:
        together = order[index * self.batch_size : (index + 1) * self.batch_size]
        first, end = self._bounds(together.shape[0])
        return together[first:end]

    def _bounds(self, count: int) -> tuple[int, int]:
        """Where this rank's share of `count` samples begins and ends; the first ranks get what is over."""
        each, more = divmod(count, self.world_size)
        first = each * self.rank + min(self.rank, more)
        return first, first + each + (self.rank < more)
