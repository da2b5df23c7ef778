"""From the parts that a set found to its splits: classes checked, validation carved, training limited."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.data.assembly import describe
from n2nsurgery.data.assembly.options import Selection
from n2nsurgery.data.pipeline.splits import DataSplits, SampleSource, Split
from n2nsurgery.data.pipeline.subset import carve, limited


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The samples of one split as a set has them: `targets` (int64, N), at `positions` of `source` (all, in order)."""

    source: SampleSource
    targets: Tensor
    positions: Tensor | None = None


def assemble(  # noqa: PLR0913 - the parts of a set, each named
    *,
    classes: int,
    train: Part,
    test: Part,
    validation: Part | None = None,
    selection: Selection,
    augmented: bool,
    description: tuple[str, ...],
) -> DataSplits:
    """The splits of a set whose sentences so far are `description`.

    Raises InvalidFileError for targets outside of the classes and for a split without samples, UsageError where
    `selection` asks for what is not there.
    """
    if validation is not None and selection.validation is not None:
        raise UsageError(
            f"validation = {selection.validation}, but the data set has its own validation split; leave the option out"
        )
    kept = _split("training", train, classes, augmented=augmented)
    held_out = None if validation is None else _split("validation", validation, classes)
    if selection.validation is not None:
        rest, taken = carve(kept.targets, selection.validation, seed=selection.seed)
        plain = _split("validation", train, classes)
        kept, held_out = _chosen(kept, rest), _chosen(plain, taken)
    if selection.train_limit is not None:
        kept = _chosen(kept, limited(kept.targets, selection.train_limit, seed=selection.seed))
    tested = _split("test", test, classes)
    if selection.test_limit is not None:
        tested = _chosen(tested, limited(tested.targets, selection.test_limit, seed=selection.seed, split="test"))
    if kept.shape != tested.shape:
        raise InvalidFileError(f"training samples have shape {kept.shape}, test samples {tested.shape}")
    sentences = (*description, describe.sizes(kept, held_out, tested), *describe.selection(selection))
    return DataSplits(train=kept, validation=held_out, test=tested, classes=classes, description=sentences)


def _split(name: str, part: Part, classes: int, *, augmented: bool = False) -> Split:
    count = part.targets.shape[0]
    if not count:
        raise InvalidFileError(f"there are no {name} samples")
    low, high = int(part.targets.min()), int(part.targets.max())
    if low < 0 or high >= classes:
        raise InvalidFileError(
            f"{name} targets range from {low} to {high}; with {classes} classes they must be from 0 to {classes - 1}"
        )
    positions = torch.arange(count) if part.positions is None else part.positions
    return Split(
        name=name,
        classes=classes,
        source=part.source,
        positions=positions,
        targets=part.targets,
        augmented=augmented,
    )


def _chosen(split: Split, indices: Tensor) -> Split:
    return Split(
        name=split.name,
        classes=split.classes,
        source=split.source,
        positions=split.positions[indices],
        targets=split.targets[indices],
        augmented=split.augmented,
    )
