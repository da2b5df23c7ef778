"""Data that a factory of a user's own makes: `package.module:factory` in a recipe, and splits of its torch datasets.

The factory is a function, or a class, that gives a dict of map-style `torch.utils.data.Dataset`s:

    def digits(classes: int = 10):
        return {"train": ..., "validation": ..., "test": ...}

`validation` may be left out. Items are (input, target): a tensor, and the number of a class or, where there are none, a
float tensor. An optional entry `classes` says how many classes, or outputs, there are; without it they are counted. A
factory that takes `seed`, `root` or `download` is given those of the run. It may also return `DataSplits`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.core.names import unknown
from n2nsurgery.data.pipeline.sample_rng import SampleRng
from n2nsurgery.data.pipeline.splits import DataSplits, Split
from n2nsurgery.data.torch_data.sample_randomness import generators_restored, seed_generators
from n2nsurgery.plugins import import_object

_SPLITS = ("train", "validation", "test")
_COUNTED = "classes"
_NAMES = {"train": "training", "validation": "validation", "test": "test"}
_MOST_DIMENSIONS = 2  # of targets: samples, and what is to be predicted of each


@dataclass(frozen=True, kw_only=True)
class FactoryData:
    """The data set that the object `factory` (`package.module:name`) makes, called with `options` by name."""

    factory: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:
        """The splits, see `DataSet.load`; runs the factory's code.

        Raises UsageError where the factory is not found, does not take its options or gives no data sets, RunError
        where it fails.
        """
        factory = import_object(self.factory, what="the data set")
        run = {"root": root, "download": download, "seed": seed}
        made = _called(self.factory, factory, self.options, run)
        return made if isinstance(made, DataSplits) else _splits(self.factory, made)


@dataclass(frozen=True, kw_only=True, eq=False)
class DatasetSplit(Split):
    """A split whose samples are the items of `dataset`, in its order."""

    dataset: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class _DatasetSource:
    """Samples of a dataset; each is read with generators of its own, so that it does not depend on those before it."""

    dataset: Any
    shape: tuple[int, ...]

    def read(self, positions: Tensor, rng: SampleRng | None) -> Tensor:
        """The samples at `positions` as the dataset gives them."""
        with generators_restored():
            return torch.stack([self._read(position, rng) for position in positions.tolist()])

    def _read(self, position: int, rng: SampleRng | None) -> Tensor:
        seed_generators(rng.salt if rng is not None else 0, 0, position)
        return torch.as_tensor(self.dataset[position][0])


def _called(name: str, factory: Any, options: Mapping[str, Any], run: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if not callable(factory):
        raise UsageError(f"the data set '{name}' is a {type(factory).__name__}; a function or class is needed")
    taken = inspect.signature(factory).parameters
    anything = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values())
    for option in options:
        if option not in taken and not anything:
            raise unknown(f"option of the data set '{name}'", option, tuple(taken), field=f"data.{option}")
    given = {key: value for key, value in run.items() if key in taken} | dict(options)
    needed = [
        key
        for key, each in taken.items()
        if each.default is inspect.Parameter.empty
        and each.kind in {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    ]
    if missing := [key for key in needed if key not in given]:
        raise UsageError(f"the data set '{name}' needs {', '.join(missing)}: give data.{missing[0]}")
    try:
        return factory(**given)
    except UsageError:
        raise
    except Exception as error:
        raise RunError(f"the data set '{name}' fails: {type(error).__name__}: {error}") from error


def _splits(name: str, made: object) -> DataSplits:
    if not isinstance(made, Mapping):
        raise UsageError(f"the data set '{name}' gives a {type(made).__name__}; a dict of datasets is needed: 'train', "
                         "'test' and optionally 'validation'")  # fmt: skip
    for key in made:
        if key not in {*_SPLITS, _COUNTED}:
            raise unknown(f"split of the data set '{name}'", str(key), (*_SPLITS, _COUNTED))
    for key in ("train", "test"):
        if made.get(key) is None:
            raise UsageError(
                f"the data set '{name}' gives no '{key}': a dataset to train on and one to test on are needed"
            )
    datasets = {key: made[key] for key in _SPLITS if made.get(key) is not None}
    targets = {key: _targets(name, key, dataset) for key, dataset in datasets.items()}
    if len({(each.dtype, each.shape[1:]) for each in targets.values()}) > 1:
        raise UsageError(f"the data set '{name}' has targets of different kinds in its splits")
    classes = made.get(_COUNTED) or _classes(list(targets.values()))
    shape = _shape(datasets["train"])
    split = {
        key: DatasetSplit(
            name=_NAMES[key],
            classes=classes,
            source=_DatasetSource(dataset=dataset, shape=shape),
            positions=torch.arange(len(dataset)),
            targets=targets[key],
            augmented=key == "train",
            dataset=dataset,
        )
        for key, dataset in datasets.items()
    }
    sizes = ", ".join(f"{len(dataset):,} {_NAMES[key]}" for key, dataset in datasets.items())
    return DataSplits(
        train=split["train"],
        validation=split.get("validation"),
        test=split["test"],
        classes=classes,
        description=(f"{name}: {sizes} samples, made by a function of yours",),
    )


def _shape(dataset: Any) -> tuple[int, ...]:  # noqa: ANN401
    return tuple(torch.as_tensor(dataset[0][0]).shape)


def _targets(name: str, key: str, dataset: Any) -> Tensor:  # noqa: ANN401 - a map-style dataset
    """All targets, int64 (n,) or float32 (n,) or (n, outputs); reads every item where `dataset.targets` is not them."""
    shown = f"'{key}' of the data set '{name}'"
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise UsageError(f"{shown} is a {type(dataset).__name__}; a map-style Dataset is needed")
    if not len(dataset):
        raise UsageError(f"{shown} has no samples")
    with generators_restored():
        item = dataset[0]
        if not (isinstance(item, tuple | list) and len(item) == 2):  # noqa: PLR2004 - input and target
            raise UsageError(f"an item of {shown} is a {type(item).__name__}; give (input, target)")
        found = torch.stack([torch.as_tensor(target) for target in _listed(dataset)])
    if found.ndim > _MOST_DIMENSIONS or (found.ndim == _MOST_DIMENSIONS and not found.is_floating_point()):
        raise UsageError(
            f"a target of {shown} has shape {tuple(found.shape[1:])}; a recipe trains on class numbers or on a row of "
            "numbers. n2nsurgery.train in Python takes any targets"
        )
    return found.to(torch.float32) if found.is_floating_point() else found.to(torch.int64)


def _listed(dataset: Any) -> Sequence[Any]:  # noqa: ANN401
    """The targets as torchvision's datasets list them, where those are what the items hold; else those of the items."""
    listed = getattr(dataset, "targets", None)
    if listed is not None and len(listed) == len(dataset):
        looked_at = {0, len(dataset) // 2, len(dataset) - 1}
        if all(torch.equal(torch.as_tensor(listed[i]), torch.as_tensor(dataset[i][1])) for i in looked_at):
            return listed  # type: ignore[no-any-return]
    return [dataset[index][1] for index in range(len(dataset))]


def _classes(targets: Sequence[Tensor]) -> int:
    """The number of classes, or of outputs where targets are not classes."""
    if targets[0].is_floating_point():
        return targets[0].shape[1] if targets[0].ndim == _MOST_DIMENSIONS else 1
    return 1 + max(int(each.max()) for each in targets)
