"""Batches of a split: by the threads of `Loader`, or of a user's own dataset by the worker processes of torch."""

from __future__ import annotations

from n2nsurgery.data.pipeline.epoch_order import EpochOrder
from n2nsurgery.data.pipeline.loader import Loader
from n2nsurgery.data.pipeline.splits import Split
from n2nsurgery.data.torch_data.dataset_batches import DatasetBatches
from n2nsurgery.data.torch_data.factory_data import DatasetSplit

SplitBatches = Loader | DatasetBatches


def split_batches(  # noqa: PLR0913 - as for Loader
    split: Split,
    batch_size: int,
    *,
    training: bool,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
) -> SplitBatches:
    """The batches of `split`: for training shuffled, augmented, and without a last one that is smaller.

    A user's own dataset may draw from the global generators, so no threads read it: its `workers` are processes.
    """
    if not isinstance(split, DatasetSplit):
        return Loader(
            split, batch_size, shuffle=training, seed=seed, augment=training, drop_last=training, rank=rank,
            world_size=world_size, workers=workers,
        )  # fmt: skip
    order = EpochOrder(
        name=split.name, size=split.size, batch_size=batch_size, shuffle=training, seed=seed, drop_last=training,
        rank=rank, world_size=world_size,
    )  # fmt: skip
    return DatasetBatches(dataset=split.dataset, order=order, workers=workers)
