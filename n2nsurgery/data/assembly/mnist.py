"""MNIST and the sets published in its form: four IDX files, plain or compressed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.data.assembly import describe
from n2nsurgery.data.assembly.assembly import Part, assemble
from n2nsurgery.data.assembly.options import ImageOptions
from n2nsurgery.data.files.download import Remote, fetch
from n2nsurgery.data.files.idx import read_idx
from n2nsurgery.data.files.location import data_root, missing
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset, padding_of, resized
from n2nsurgery.data.pipeline.normalization import Normalization, unit
from n2nsurgery.data.pipeline.splits import DataSplits

_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class IdxSet:
    """`remotes` are training images and labels, then test images and labels; `folders` is where they are looked for."""

    name: str
    folders: tuple[str, ...]
    remotes: tuple[Remote, Remote, Remote, Remote]
    normalization: Normalization


def load_idx_set(idx_set: IdxSet, options: ImageOptions, root: Path | None, *, download: bool, seed: int) -> DataSplits:
    """The splits of `idx_set` found below `root`, or fetched where `download` permits it."""
    folder = data_root(root)
    paths = next(_present(idx_set, folder), None)
    if paths is None:
        if not download:
            raise _missing(idx_set, folder)
        paths = tuple(_local(remote, folder / idx_set.folders[0]) for remote in idx_set.remotes)
    normalization = idx_set.normalization if options.normalize else unit(1)
    train, test = (_part(paths[start], paths[start + 1], options, normalization) for start in (0, 2))
    augmented = options.augment != "none"
    padding = padding_of(train.source.shape[-1])
    transforms = describe.small_images(padding, options.augmentation) if augmented else ()
    return assemble(
        classes=_CLASSES,
        train=train,
        test=test,
        selection=options.selection(seed),
        augmented=augmented,
        description=(f"{idx_set.name} in '{paths[0].parent}'", *transforms, normalization.sentence()),
    )


def _present(idx_set: IdxSet, root: Path) -> Iterator[tuple[Path, ...]]:
    """The four files of each folder that has them all."""
    for folder in (root / name for name in idx_set.folders):
        found = [path for remote in idx_set.remotes if (path := _stored(folder, remote)) is not None]
        if len(found) == len(idx_set.remotes):
            yield tuple(found)


def _stored(folder: Path, remote: Remote) -> Path | None:
    compressed = folder / remote.name
    return next((path for path in (compressed, compressed.with_suffix("")) if path.is_file()), None)


def _local(remote: Remote, folder: Path) -> Path:
    return _stored(folder, remote) or fetch(remote, folder)


def _missing(idx_set: IdxSet, folder: Path) -> Exception:
    names = [remote.name for remote in idx_set.remotes]
    address = idx_set.remotes[0].url.rpartition("/")[0]
    advice = f"Each of these folders was searched for {', '.join(names)}. Pass --download to fetch them from {address}."
    return missing(idx_set.name, folder, idx_set.folders, advice)


def _part(images: Path, labels: Path, options: ImageOptions, normalization: Normalization) -> Part:
    values, targets = read_idx(images, 3), read_idx(labels, 1)
    if values.shape[0] != targets.shape[0]:
        raise InvalidFileError(f"'{images}' has {values.shape[0]} images, '{labels}' has {targets.shape[0]} labels")
    pixels = resized(values[:, None], options.size)
    held = InMemoryDataset(values=pixels, normalization=normalization, augmentation=options.augmentation)
    return Part(source=held, targets=targets.long())
