"""Batches of a caller's own data: of any map-style `torch.utils.data.Dataset`, or whatever a source yields.

A map-style dataset (`__getitem__`, `__len__`) is shuffled here, and each sample is read with generators of its own
(`sample_randomness`). Where an item depends on nothing but its index and those generators, batch b of epoch e is a pure
function of (seed, e, b), and a run resumes to the bit. `require_repeatable` reads some items twice to find out.

A source of batches (a DataLoader, an IterableDataset, a generator) gives them in its own order. Nothing can ask it for
batch b again, so a run that is fed by it can be saved, but not resumed to the bit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_convert

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import tensors_in
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.data.pipeline.epoch_order import EpochOrder
from n2nsurgery.data.torch_data.sample_randomness import generators_restored, seed_generators

Pair = tuple[Any, Any]
_PAIR = 2
_EMPTY = (
    "the source of batches is empty, or was read before and cannot be read again, as a generator; give one that yields "
    "(inputs, targets) whenever it is iterated"
)


class _SeededDataset(Dataset[Any]):
    """Items of `dataset` by (epoch, index), each read with generators of its own; also in a worker process."""

    def __init__(self, dataset: Any, seed: int) -> None:  # noqa: ANN401 - whatever has __getitem__
        self._dataset = dataset
        self._seed = seed

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Any]:
        """The items of one batch."""
        with generators_restored():
            return [self._item(epoch, index) for epoch, index in keys]

    def _item(self, epoch: int, index: int) -> Any:  # noqa: ANN401
        seed_generators(self._seed, epoch, index)
        return self._dataset[index]


@dataclass(frozen=True, kw_only=True, eq=False)
class DatasetBatches:
    """Batches of a map-style `dataset` in the order of `order`.

    `collate`: a list of items -> (inputs, targets), None for torch's own. `workers`: processes that read ahead, as
    DataLoader's `num_workers`. `pin_memory`: for a GPU.
    """

    dataset: Any
    order: EpochOrder
    collate: Callable[[list[Any]], Any] | None = None
    workers: int = 0
    pin_memory: bool = False

    def __len__(self) -> int:
        """Batches per epoch of this rank."""
        return len(self.order)

    def epoch(self, number: int, start: int = 0) -> Iterator[Pair]:
        """This rank's batches of epoch `number` (from 0), from batch `start` on."""
        keys = [[(number, index) for index in batch.tolist()] for batch in self.order.batches(number, start)]
        loader: Iterable[Any] = DataLoader(
            _SeededDataset(self.dataset, self.order.seed),
            batch_sampler=keys,
            num_workers=self.workers,
            collate_fn=self.collate,
            pin_memory=self.pin_memory,
            generator=torch_generator(self.order.seed, "workers", str(number)),  # the global one stays as it is
        )
        return map(as_pair, loader)


class StreamBatches:
    """The batches that `source` yields, `count` of them an epoch; None for its own length.

    Each epoch iterates over `source` anew; with a `count` it goes on where the epoch before ended, and begins again
    when it runs dry. A source without a length is read to its end where it is `open_ended`, and its length is then that
    of an epoch that never ends; else UsageError is raised.
    """

    def __init__(self, source: Iterable[Any], count: int | None = None, *, open_ended: bool = False) -> None:
        self._source = source
        self._counted = count is not None
        self._stream: Iterator[Any] | None = None
        known = length_of(source) if count is None else count
        if known is None and not open_ended:
            raise UsageError(
                f"the source of batches, a {type(source).__name__}, has no length; say how many batches are an epoch "
                "with batches_per_epoch"
            )
        self._count = sys.maxsize if known is None else known

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._count

    def epoch(self, number: int, start: int = 0) -> Iterator[Pair]:  # noqa: ARG002 - the source knows no epochs
        """The next batches, `start` fewer than an epoch has."""
        return map(as_pair, islice(self._endless() if self._counted else self._once(), len(self) - start))

    def _once(self) -> Iterator[Any]:
        empty = True
        for item in self._source:
            empty = False
            yield item
        if empty:
            raise UsageError(_EMPTY)

    def _endless(self) -> Iterator[Any]:
        while True:
            fresh = self._stream is None
            self._stream = iter(self._source) if self._stream is None else self._stream
            try:
                item = next(self._stream)
            except StopIteration:
                if fresh:
                    raise UsageError(_EMPTY) from None
                self._stream = None
            else:
                yield item


def length_of(source: object) -> int | None:
    """The length of `source`; None where it has none, as a DataLoader of an IterableDataset without one."""
    try:
        return len(source)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return None


def require_repeatable(dataset: Any, *, samples: int = 8, seed: int = 0) -> None:  # noqa: ANN401
    """Return where the first `samples` items of `dataset` are the same when they are read again in another order.

    This is what resuming to the bit asks of a map-style dataset. Random transforms may draw from the global generators
    of torch, numpy and Python, which are held for each item; not from the clock, the operating system, a generator of
    the dataset's own, or what was read before. Raises UsageError that names the first item that differs.
    """
    keys = [(0, index) for index in range(min(samples, len(dataset)))]
    seeded = _SeededDataset(dataset, seed)
    first = seeded.__getitems__(keys)
    again = reversed(seeded.__getitems__(keys[::-1]))
    for (_, index), before, after in zip(keys, first, again, strict=True):
        pairs = zip(_tensors(before), _tensors(after), strict=True)
        if not all(torch.equal(one, other) for one, other in pairs):
            raise UsageError(
                f"item {index} of {type(dataset).__name__} is not the same when it is read again, so no run on it can "
                "be resumed to the bit: draw from the global generators alone, and keep no state between items"
            )


def as_pair(item: Any) -> Pair:  # noqa: ANN401
    """`item` as (inputs, targets); raises UsageError where it is not a pair."""
    if isinstance(item, tuple | list) and len(item) == _PAIR:
        return item[0], item[1]
    raise UsageError(
        f"a batch is {_shown(item)}; (inputs, targets) is needed: wrap the data set, or give a collate function that "
        "returns such a pair"
    )


def _tensors(item: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
    """What is in an item, numbers and arrays as tensors."""
    return tuple(tensors_in(default_convert(item)))  # type: ignore[no-untyped-call]  # torch's own


def _shown(item: Any) -> str:  # noqa: ANN401
    length = f" of {len(item)}" if isinstance(item, tuple | list) else ""
    return f"a {type(item).__name__}{length}"
