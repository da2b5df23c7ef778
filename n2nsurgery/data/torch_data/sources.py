"""From whatever a caller calls data to batches: a dataset, a DataLoader, an iterable, or batches that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.epoch_order import EpochOrder
from n2nsurgery.data.torch_data.dataset_batches import DatasetBatches, StreamBatches


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How batches are made of samples.

    `batch_size`: samples of one forward pass over all processes. `collate`: items -> (inputs, targets), None for
    torch's own. `workers`: processes that read ahead. `batches_per_epoch`: of an iterable without a length.
    """

    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    collate: Callable[[list[Any]], Any] | None = None
    workers: int = 0
    pin_memory: bool = False
    batches_per_epoch: int | None = None


def batches_of(data: Any, name: str, options: BatchOptions, *, training: bool) -> Any:  # noqa: ANN401 - batches
    """The batches of `data`, which is the split called `name`.

    A map-style dataset, which has `__getitem__` and `__len__`, is shuffled for training, and its last batch is dropped
    where it is smaller; so is a list of samples. A DataLoader or another iterable of (inputs, targets) gives its
    batches as they are; one without a length is read to its end in an evaluation. What has an `epoch` method is taken
    for batches already. Raises UsageError for anything else, and for an iterable where several processes train: each
    has to know its part.
    """
    if hasattr(data, "epoch") and hasattr(data, "__len__"):
        return data
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, IterableDataset):
        _require_samples(data, name, options, training=training)
        order = EpochOrder(
            name=name,
            size=len(data),
            batch_size=options.batch_size,
            shuffle=training,
            seed=options.seed,
            drop_last=training,
            rank=options.rank,
            world_size=options.world_size,
        )
        return DatasetBatches(
            dataset=data, order=order, collate=options.collate, workers=options.workers, pin_memory=options.pin_memory
        )
    if not isinstance(data, Iterable):
        raise UsageError(
            f"the {name} data is a {type(data).__name__}; give a torch Dataset, a DataLoader, or an iterable of "
            "(inputs, targets)"
        )
    if options.world_size > 1:
        raise UsageError(
            f"the {name} data is a {type(data).__name__}, which does not know its part of {options.world_size} "
            "processes: give a map-style Dataset"
        )
    batched = _batched(data, options, training=training)
    return StreamBatches(batched, options.batches_per_epoch if training else None, open_ended=not training)


def is_exact(batches: object) -> bool:
    """Whether batch b of epoch e can be asked for again, so that a run on them resumes to the bit."""
    return not isinstance(batches, StreamBatches)


def _require_samples(data: Any, name: str, options: BatchOptions, *, training: bool) -> None:  # noqa: ANN401
    """Return where `data` is no collection of Python, or one of samples; raises UsageError that says what is wrong."""
    if not isinstance(data, list | tuple | Mapping) or not len(data):
        return
    kind = f"the {name} data is a {type(data).__name__} of {len(data)}"
    remedy = "give TensorDataset(inputs, targets) for tensors, a DataLoader or a Dataset"
    if isinstance(data, Mapping):
        raise UsageError(f"{kind} entries, which has no samples by number: {remedy}")
    paired = isinstance(data[0], tuple | list) and len(data[0]) == 2  # noqa: PLR2004 - input and target
    if options.collate is None and not paired:
        found = type(data[0]).__name__
        raise UsageError(f"{kind}, each taken for one sample (input, target), and the first is a {found}: {remedy}")
    if training and len(data) < options.batch_size:
        raise UsageError(
            f"{kind}, each taken for one sample (input, target), and a batch has {options.batch_size}: {remedy}; "
            "batches that are there come from an iterable that is no list"
        )


def _batched(data: Iterable[Any], options: BatchOptions, *, training: bool) -> Iterable[Any]:
    """The batches of an IterableDataset, which yields samples; other iterables yield batches.

    A last batch that is smaller is dropped in training.
    """
    if not isinstance(data, IterableDataset):
        return data
    return DataLoader(
        data,
        batch_size=options.batch_size,
        num_workers=options.workers,
        collate_fn=options.collate,
        drop_last=training,
    )
