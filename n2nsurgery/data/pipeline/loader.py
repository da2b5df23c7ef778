"""Batches of an epoch as a pure function of (seed, epoch, batch), so that training resumes anywhere and on any ranks.

Which samples are in a batch says `EpochOrder`; what augmentation draws for a sample comes from (seed, epoch, the
sample). So batch b of an epoch needs none of the batches before it; and workers, who prepare later batches meanwhile,
change nothing. They are threads: decoding and torch's kernels release the interpreter, and nothing has to be copied
between processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.data.pipeline.epoch_order import EpochOrder
from n2nsurgery.data.pipeline.splits import Split

_AHEAD = 2  # batches prepared for each worker


@dataclass(frozen=True, eq=False)
class Loader:
    """Batches of `batch_size` samples of `split`, of which this rank gets its share; see `EpochOrder`.

    `augment`: draw what an augmented split draws. `workers`: threads that prepare batches ahead. Raises UsageError for
    values out of range.
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
        if self.workers < 0:
            raise UsageError(f"workers = {self.workers}: it must be at least 0")
        assert len(self.order) >= 0

    @cached_property
    def order(self) -> EpochOrder:
        """Which samples are in which batch."""
        return EpochOrder(
            name=self.split.name,
            size=self.split.size,
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            seed=self.seed,
            drop_last=self.drop_last,
            rank=self.rank,
            world_size=self.world_size,
            limit=self.limit,
        )

    def __len__(self) -> int:
        """Batches per epoch of this rank."""
        return len(self.order)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of this rank for the batches of epoch `number` (from 0), from batch `start` on."""
        return self._batches(number, self.order.batches(number, start))

    def indices(self, number: int, index: int) -> Tensor:
        """Positions in the split (int64) of this rank's samples in batch `index` of epoch `number`."""
        return self.order.batches(number, index)[0]

    def _batches(self, number: int, todo: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, Tensor]]:
        if not self.workers:
            yield from (self._batch(number, positions) for positions in todo)
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="n2nsurgery-loader") as pool:
            pending: deque[Future[tuple[Tensor, Tensor]]] = deque()
            try:
                for positions in todo:
                    pending.append(pool.submit(self._batch, number, positions))
                    if len(pending) >= self.workers * _AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:  # the caller may leave in the middle of the epoch
                for future in pending:
                    future.cancel()

    def _batch(self, number: int, positions: Tensor) -> tuple[Tensor, Tensor]:
        generator = torch_generator(self.seed, "augment", str(number)) if self.augment else None
        return self.split.batch(positions, generator)
