"""Data set `npz`: numpy arrays x_train, y_train, x_test, y_test and perhaps x_val, y_val in one .npz file.

Samples are images (N, H, W), (N, C, H, W) or (N, H, W, C) with 1, 3 or 4 channels, or vectors (N, features), as uint8
or floating-point; targets are integers (N,) from 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.config.options import option
from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.data.assembly import describe
from n2nsurgery.data.assembly.assembly import Part, assemble
from n2nsurgery.data.assembly.options import ImageOptions, require_count
from n2nsurgery.data.files.location import data_root, located, missing
from n2nsurgery.data.files.npz_file import read_npz
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset, padding_of, resized
from n2nsurgery.data.pipeline.normalization import Normalization, measured, unit
from n2nsurgery.data.pipeline.splits import DataSplits

_NEEDED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("x_val", "y_val")
_CHANNELS = (1, 3, 4)
_VECTORS, _GRAY, _IMAGES = 2, 3, 4  # dimensions with the batch's


@dataclass(frozen=True, kw_only=True)
class Npz(ImageOptions):
    """`path` is the file; `classes` is one more than the largest target by default.

    With `normalize`, channels (all features of vectors together) get mean 0 and deviation 1 over the training samples;
    without it, uint8 is divided by 255 and floats stay as they are. `augment` and `size` are for images, `size` for
    those in uint8.
    """

    path: str = field(default="data.npz", metadata=option("the file, below the data folder or the current one"))
    classes: int | None = field(default=None, metadata=option("number of classes; default: those of the targets"))

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range."""
        super().__post_init__()
        require_count("classes", self.classes)

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:  # noqa: ARG002 - nothing to fetch
        """The splits; see `DataSet.load`."""
        folder = data_root(root)
        path = located(self.path, folder)
        if path is None or not path.is_file():
            advice = f"It cannot be downloaded: write {', '.join(_NEEDED)} with numpy.savez and name the file as path."
            raise missing("npz", folder, (self.path,), advice, here=True)
        arrays = read_npz(path, _NEEDED, _OPTIONAL)
        if ("x_val" in arrays) != ("y_val" in arrays):
            raise InvalidFileError(f"'{path}' has only one of x_val and y_val")
        values = {name[2:]: self._samples(array, f"{path}: {name}") for name, array in arrays.items() if name[0] == "x"}
        targets = {name[2:]: _targets(array, f"{path}: {name}") for name, array in arrays.items() if name[0] == "y"}
        return self._assembled(path, values, targets, seed)

    def _assembled(self, path: Path, values: dict[str, Tensor], targets: dict[str, Tensor], seed: int) -> DataSplits:
        normalization = self._normalization(values["train"])
        parts = {name: self._part(path, name, values[name], targets[name], normalization) for name in values}
        augmented = self.augment != "none"
        padding = padding_of(values["train"].shape[-1])
        transforms = describe.small_images(padding, self.augmentation) if augmented else ()
        return assemble(
            classes=int(targets["train"].max()) + 1 if self.classes is None else self.classes,
            train=parts["train"],
            test=parts["test"],
            validation=parts.get("val"),
            selection=self.selection(seed),
            augmented=augmented,
            description=(f"arrays in '{path}'", *transforms, normalization.sentence()),
        )

    def _part(self, path: Path, name: str, values: Tensor, targets: Tensor, normalization: Normalization) -> Part:
        if values.shape[0] != targets.shape[0]:
            raise InvalidFileError(f"'{path}': x_{name} has {values.shape[0]} samples, y_{name} has {targets.shape[0]}")
        channels = 1 if values.ndim == _VECTORS else values.shape[1]
        if channels != len(normalization.mean):
            raise InvalidFileError(f"'{path}': x_{name} has {channels} channels, x_train has {len(normalization.mean)}")
        shared = normalization.mean * values.shape[1], normalization.std * values.shape[1]
        own = replace(normalization, mean=shared[0], std=shared[1]) if values.ndim == _VECTORS else normalization
        held = InMemoryDataset(values=values, normalization=own, augmentation=self.augmentation)
        return Part(source=held, targets=targets)

    def _normalization(self, values: Tensor) -> Normalization:
        value_range = 255.0 if values.dtype == torch.uint8 else 1.0
        vectors = values.ndim == _VECTORS
        if not self.normalize:
            return unit(1 if vectors else values.shape[1], value_range=value_range)
        return measured(values[:, None] if vectors else values, value_range=value_range)

    def _samples(self, array: np.ndarray, where: str) -> Tensor:
        values = torch.from_numpy(array if array.dtype == np.uint8 else _floats(array, where))
        if not values.numel():
            raise InvalidFileError(f"{where} has shape {array.shape}: there are no samples")
        if values.ndim == _VECTORS:
            if self.size is not None or self.augment != "none":
                raise UsageError(f"{where} holds vectors; size and augment are for images")
            return values
        values = _channels_first(values, where)
        if self.size is not None and values.dtype != torch.uint8:
            raise UsageError(f"size = {self.size} resizes images in uint8; {where} is {array.dtype}")
        return resized(values, self.size)


def _floats(array: np.ndarray, where: str) -> np.ndarray:
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidFileError(f"{where} is {array.dtype}; uint8 or floating-point values are needed")
    found = array.astype(np.float32)
    if not np.isfinite(found).all():
        raise InvalidFileError(f"{where} holds values that are not finite in float32")
    return found


def _channels_first(values: Tensor, where: str) -> Tensor:
    if values.ndim == _GRAY:
        return values[:, None]
    if values.ndim == _IMAGES and values.shape[1] in _CHANNELS:
        return values
    if values.ndim == _IMAGES and values.shape[3] in _CHANNELS:
        return values.permute(0, 3, 1, 2).contiguous()
    raise InvalidFileError(
        f"{where} has shape {tuple(values.shape)}; (N, features), (N, H, W), (N, C, H, W) or (N, H, W, C) is needed"
    )


def _targets(array: np.ndarray, where: str) -> Tensor:
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or not array.size:
        raise InvalidFileError(f"{where} is {array.dtype} of shape {array.shape}; integers of shape (N,) are needed")
    return torch.from_numpy(array.astype(np.int64))


MEMBER = Npz
