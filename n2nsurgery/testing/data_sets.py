"""What every data set promises; see `n2nsurgery.data.registry` for the protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.assembly.describe import describe
from n2nsurgery.data.pipeline.splits import DataSplits, Split
from n2nsurgery.data.registry import DataSet
from n2nsurgery.testing.verdict import all_equal, expect, instance, is_a_frozen_value, states_under

_LIMIT = 9  # samples, where `train_limit` is an option


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedSet:
    """A data set with the folder that it is loaded from."""

    data_set: DataSet
    root: Path | None = None

    def load(self, *, seed: int = 0, **options: Any) -> DataSplits:  # noqa: ANN401 - fields of the data set
        """The splits, with `options` in place of its fields."""
        changed: DataSet = dataclasses.replace(self.data_set, **options) if options else self.data_set
        return changed.load(self.root, download=False, seed=seed)

    def has(self, option: str) -> bool:
        """Whether the data set has a field called `option`."""
        return option in self.data_set.__dataclass_fields__


def check_data_set(data_set: DataSet | type[Any], root: Path | None = None) -> None:
    """Return where `data_set`, an instance or a class with defaults, keeps the promises of a data set.

    `root`: the folder with its files, of few samples; nothing is downloaded. A set that is generated needs none. The
    options `train_limit`, `test_limit` and `validation` are checked where the set has them. Raises AssertionError that
    names the first promise that is broken.
    """
    made = instance(data_set)
    name = type(made).__name__
    for check in DATA_SET_CHECKS:
        try:
            check(LoadedSet(data_set=made, root=root))
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def is_a_frozen_set(case: LoadedSet) -> None:
    """Equal fields, equal sets, with a hash."""
    is_a_frozen_value(case.data_set)


def gives_samples_of_the_stated_shape_and_classes(case: LoadedSet) -> None:
    """float32 inputs (n, *shape), finite; int64 labels below `classes`; training shows every class."""
    splits = case.load()
    for split in splits_of(splits):
        inputs, targets = split.batch(torch.arange(split.size), torch.Generator().manual_seed(0))
        wanted = (split.size, *split.shape)
        expect(tuple(inputs.shape) == wanted, f"gives {split.name} inputs of shape {tuple(inputs.shape)}, not {wanted}")
        expect(inputs.dtype == torch.float32, f"gives {split.name} inputs as {inputs.dtype}; float32 is needed")
        expect(bool(torch.isfinite(inputs).all()), f"gives {split.name} inputs that are not finite")
        expect(targets.dtype == torch.int64, f"gives {split.name} targets as {targets.dtype}; int64 is needed")
        inside = 0 <= int(targets.min()) <= int(targets.max()) < split.classes == splits.classes
        expect(inside, f"gives {split.name} labels outside of 0 to {splits.classes - 1}")
    seen = set(splits.train.targets.tolist())
    expect(seen == set(range(splits.classes)), f"trains on {len(seen)} of {splits.classes} classes")


def gives_the_same_splits_for_the_same_seed(case: LoadedSet) -> None:
    """Bit for bit, with a part of the training samples too."""
    options = {"train_limit": _LIMIT} if case.has("train_limit") else {}
    first, second = (contents(case.load(seed=3, **options)) for _ in range(2))
    expect(all_equal(first, second), "gives other samples for the same seed")


def chooses_other_samples_for_another_seed(case: LoadedSet) -> None:
    """Where only a part of them is taken."""
    if not case.has("train_limit"):
        return
    first, second = (case.load(seed=seed, train_limit=_LIMIT).train for seed in (0, 1))
    some = torch.arange(_LIMIT)
    expect(not torch.equal(first.batch(some)[0], second.batch(some)[0]), "takes the same samples whatever the seed")


def keeps_training_and_validation_apart(case: LoadedSet) -> None:
    """No position of one source is in both."""
    splits = case.load(validation=5) if case.has("validation") else case.load()
    if splits.validation is None or splits.train.source is not splits.validation.source:
        return
    both = set(splits.train.positions.tolist()) & set(splits.validation.positions.tolist())
    expect(not both, f"has {len(both)} samples both in training and in validation")


def serves_the_classes_equally_under_a_limit(case: LoadedSet) -> None:
    """Of training samples, and of test samples, which leaves training as it is."""
    whole = case.load()
    for option, size in (("train_limit", _LIMIT), ("test_limit", 6)):
        if not case.has(option):
            continue
        splits = case.load(**{option: size})
        split = splits.train if option == "train_limit" else splits.test
        counts = torch.bincount(split.targets, minlength=splits.classes)
        expect(split.size == size, f"has {split.size} {split.name} samples with {option} = {size}")
        even = int(counts.max() - counts.min()) <= 1
        expect(even, f"has {counts.tolist()} samples of the classes with {option} = {size}")
        other = splits.test if option == "train_limit" else splits.train
        before = whole.test if option == "train_limit" else whole.train
        expect(other.size == before.size, f"changes {other.name} with {option}")


def evaluates_without_a_draw(case: LoadedSet) -> None:
    """Test samples are the same with and without a generator."""
    test = case.load().test
    everything = torch.arange(test.size)
    same = torch.equal(test.batch(everything)[0], test.batch(everything, torch.Generator())[0])
    expect(same, "augments test samples")


def leaves_the_global_generator_alone(case: LoadedSet) -> None:
    """Neither read nor advanced, by loading and by reading samples."""

    def read() -> Tensor:
        train = case.load().train
        return train.batch(torch.arange(min(8, train.size)), torch.Generator().manual_seed(1))[0]

    first, second = states_under((1, 2), read)
    expect(torch.equal(first, second), "gives other samples where torch's global generator stands elsewhere")


def states_its_sizes(case: LoadedSet) -> None:
    """The description of the splits names them."""
    splits = case.load()
    text = describe(splits)
    expect(f"{splits.train.size:,} training" in text, f"is described as {text!r}, without {splits.train.size} training")
    expect(f"{splits.test.size:,} test samples" in text, f"is described as {text!r}, without its test samples")


def refuses_limits_out_of_range(case: LoadedSet) -> None:
    """A UsageError that shows the value."""
    wrong: tuple[dict[str, Any], ...] = (
        {"train_limit": 0},
        {"train_limit": 10**9},
        {"test_limit": 0},
        {"validation": 1.5},
    )
    for options in wrong:
        [(option, value)] = options.items()
        if not case.has(option):
            continue
        try:
            case.load(**options)
        except UsageError as error:
            expect(str(value) in str(error), f"refuses {option} = {value} without showing the value: {error}")
        else:
            raise AssertionError(f"accepts {option} = {value}; raise UsageError")


def splits_of(splits: DataSplits) -> list[Split]:
    """The splits that are there."""
    return [split for split in (splits.train, splits.validation, splits.test) if split is not None]


def contents(splits: DataSplits) -> list[Tensor]:
    """Inputs and targets of all splits."""
    return [tensor for split in splits_of(splits) for tensor in split.batch(torch.arange(split.size))]


DATA_SET_CHECKS: tuple[Callable[[LoadedSet], None], ...] = (
    is_a_frozen_set,
    gives_samples_of_the_stated_shape_and_classes,
    gives_the_same_splits_for_the_same_seed,
    chooses_other_samples_for_another_seed,
    keeps_training_and_validation_apart,
    serves_the_classes_equally_under_a_limit,
    evaluates_without_a_draw,
    leaves_the_global_generator_alone,
    states_its_sizes,
    refuses_limits_out_of_range,
)
