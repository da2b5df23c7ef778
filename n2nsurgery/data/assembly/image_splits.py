"""Splits from images in a folder or an archive: small ones decoded once and held, large ones decoded when read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.data.assembly import describe
from n2nsurgery.data.assembly.assembly import Part, assemble
from n2nsurgery.data.assembly.options import ImageOptions
from n2nsurgery.data.files.archive import images_of_archive, is_archive
from n2nsurgery.data.files.decoding import decode_all, decoded
from n2nsurgery.data.files.image_files import Arrangement, ImageFiles, arrange, images_of_folder
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset, padding_of
from n2nsurgery.data.pipeline.lazy import LazyDataset
from n2nsurgery.data.pipeline.normalization import Normalization, measured, unit
from n2nsurgery.data.pipeline.splits import DataSplits
from n2nsurgery.data.pipeline.subset import carve

IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
LARGE = 224  # the size of large images where none is asked for
_LARGEST_HELD = 64  # pixels; larger images are decoded when they are read


@dataclass(frozen=True, kw_only=True)
class ImageLayout:
    """What a set knows of its images: their normalization and number of classes (None: as found).

    `test_share` of images without splits becomes the test split.
    """

    normalization: Normalization | None = None
    classes: int | None = None
    test_share: float = 0.2


def images_at(path: Path) -> ImageFiles:
    """The images at `path`, a folder or a tar archive; InvalidFileError for anything else."""
    if is_archive(path) and path.is_file():
        return images_of_archive(path)
    if not path.is_dir():
        raise InvalidFileError(f"'{path}' is neither a folder nor a .tar, .tar.gz or .tgz archive")
    return images_of_folder(path)


def image_splits(files: ImageFiles, options: ImageOptions, layout: ImageLayout, *, seed: int) -> DataSplits:
    """The splits of `files` by their names; InvalidFileError for another layout."""
    arrangement = arrange(files)
    count = len(arrangement.classes)
    if layout.classes not in {None, count}:
        raise InvalidFileError(f"'{files.where}' has {count} classes; {layout.classes} are needed")
    size = options.size if options.size is not None else _native(files)
    augmented = options.augment != "none"
    members, own = _by_split(arrangement, layout, seed)
    source: InMemoryDataset | LazyDataset
    if size is None or size <= _LARGEST_HELD:
        values = decode_all(files.read, files.names, size)
        normalization = _in_memory(values, members["train"], options, layout)
        source = InMemoryDataset(values=values, normalization=normalization, augmentation=options.augmentation)
        transforms = describe.small_images(padding_of(values.shape[-1]), options.augmentation) if augmented else ()
    else:
        normalization = (layout.normalization or IMAGENET) if options.normalize else unit(3)
        source = LazyDataset(
            encoded=files.read,
            names=files.names,
            size=size,
            normalization=normalization,
            augmentation=options.augmentation,
        )
        drawn = describe.large_images(size, options.augmentation) if augmented else ()
        transforms = (*drawn, describe.centre(size))
    parts = {
        split: Part(source=source, positions=torch.tensor(index), targets=torch.tensor(label))
        for split, (index, label) in members.items()
    }
    ignored = [f"{files.ignored} files that are not images were left out"] if files.ignored else []
    return assemble(
        classes=count,
        **parts,
        selection=options.selection(seed),
        augmented=augmented,
        description=(f"images in '{files.where}'", *ignored, *own, *transforms, source.normalization.sentence()),
    )


def _native(files: ImageFiles) -> int | None:
    """None where images are small, which are then held as they are; the size of large images otherwise."""
    first = decoded(files.read(0), files.names[0])
    return None if max(first.size) <= _LARGEST_HELD else LARGE


def _in_memory(
    values: torch.Tensor, train: tuple[Sequence[int], Sequence[int]], options: ImageOptions, layout: ImageLayout
) -> Normalization:
    if not options.normalize:
        return unit(3)
    return layout.normalization or measured(values[torch.tensor(train[0])], value_range=255)


_Members = dict[str, tuple[Sequence[int], Sequence[int]]]


def _by_split(arrangement: Arrangement, layout: ImageLayout, seed: int) -> tuple[_Members, list[str]]:
    """Image and class indices of "train", "test" and perhaps "validation"; and how they came about."""
    found: _Members = {split: tuple(zip(*pairs, strict=True)) for split, pairs in arrangement.splits.items()}  # type: ignore[misc]
    if "all" in found:
        index, label = (torch.tensor(values) for values in found["all"])
        rest, test = carve(label, layout.test_share, seed=seed, purpose="test")
        chosen: _Members = {
            split: (index[taken].tolist(), label[taken].tolist()) for split, taken in (("train", rest), ("test", test))
        }
        return chosen, [f"{layout.test_share:.0%} of the images were taken as test split, by seed {seed}"]
    if "test" not in found:
        if "validation" not in found:
            raise InvalidFileError("there is a folder 'train', but neither 'val' nor 'test' beside it")
        found["test"] = found.pop("validation")
        return found, ["the folder 'val' serves as test split, as there is no folder 'test'"]
    return found, []
