"""CIFAR-10 and CIFAR-100 from the binary version of their publisher, or from images.

A record of the binary version is 1 (CIFAR-10) or 2 (CIFAR-100: coarse, fine) bytes of labels and 3072 bytes of pixels:
red, green, blue, each 32 rows of 32. The python version is pickled, so it can run code and is not read.
"""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.data.assembly import describe
from n2nsurgery.data.assembly.assembly import Part, assemble
from n2nsurgery.data.assembly.image_splits import ImageLayout, image_splits, images_at
from n2nsurgery.data.assembly.options import ImageOptions
from n2nsurgery.data.files.download import Remote, fetch
from n2nsurgery.data.files.location import data_root, first_present, missing
from n2nsurgery.data.pipeline.in_memory import InMemoryDataset, padding_of, resized
from n2nsurgery.data.pipeline.normalization import Normalization, unit
from n2nsurgery.data.pipeline.splits import DataSplits

_PIXELS = 3 * 32 * 32
_MOST_BYTES = 1 << 30  # of one file of records


@dataclass(frozen=True, kw_only=True)
class Cifar:
    """What differs between the two: the last of `label_bytes` is the class; `pickled` is the version not read."""

    name: str
    classes: int
    label_bytes: int
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    remote: Remote
    pickled: tuple[str, ...]
    normalization: Normalization

    @property
    def places(self) -> tuple[str, ...]:
        """Where it is looked for below the root, in this order."""
        images = f"{self.name}-images"
        return (self.folder, self.remote.name, images, *(f"{images}{end}" for end in (".tar", ".tar.gz", ".tgz")))


def load_cifar(cifar: Cifar, options: ImageOptions, root: Path | None, *, download: bool, seed: int) -> DataSplits:
    """The splits of `cifar` found below `root`, or fetched where `download` permits it."""
    folder = data_root(root)
    path = first_present(folder, cifar.places)
    if path is None:
        if not download:
            raise _missing(cifar, folder)
        path = fetch(cifar.remote, folder)
    if path.name not in {cifar.folder, cifar.remote.name}:
        layout = ImageLayout(normalization=cifar.normalization, classes=cifar.classes)
        return image_splits(images_at(path), options, layout, seed=seed)
    files = _members(cifar, path)
    normalization = cifar.normalization if options.normalize else unit(3)
    train, test = (_part(cifar, files, names, options, normalization) for names in (cifar.train, cifar.test))
    augmented = options.augment != "none"
    padding = padding_of(train.source.shape[-1])
    transforms = describe.small_images(padding, options.augmentation) if augmented else ()
    return assemble(
        classes=cifar.classes,
        train=train,
        test=test,
        selection=options.selection(seed),
        augmented=augmented,
        description=(f"{cifar.name}, binary version in '{path}'", *transforms, normalization.sentence()),
    )


def _missing(cifar: Cifar, folder: Path) -> UsageError:
    pickled = first_present(folder, cifar.pickled)
    hint = f"'{pickled}' is the pickled python version, which is not read. " if pickled else ""
    advice = (
        f"{hint}Pass --download to fetch {cifar.remote.url} ({cifar.remote.size / 1e6:.0f} MB), or put that file "
        "there, or images as train|test/class/image."
    )
    return missing(cifar.name, folder, cifar.places, advice)


def _members(cifar: Cifar, path: Path) -> dict[str, bytes]:
    """The contents of the files of records, by file name, from the folder or the archive."""
    needed = {*cifar.train, *cifar.test}
    try:
        if path.is_dir():
            return {name: _bounded(path / name) for name in sorted(needed) if (path / name).is_file()}
        found = {}
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if member.isreg() and name in needed and member.size <= _MOST_BYTES:
                    data = archive.extractfile(member)
                    found[name] = b"" if data is None else data.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InvalidFileError(f"'{path}' cannot be read: {error}; fetch it again") from error
    else:
        return found


def _bounded(path: Path) -> bytes:
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidFileError(f"'{path}' has {path.stat().st_size} bytes; at most {_MOST_BYTES} are read")
    return path.read_bytes()


def _part(
    cifar: Cifar, files: dict[str, bytes], names: tuple[str, ...], options: ImageOptions, normalization: Normalization
) -> Part:
    absent = [name for name in names if name not in files]
    if absent:
        raise InvalidFileError(f"{cifar.name}: {', '.join(absent)} not found beside the other files; fetch it again")
    images, targets = zip(*(_records(cifar, name, files[name]) for name in names), strict=True)
    values = resized(torch.cat(images), options.size)
    held = InMemoryDataset(values=values, normalization=normalization, augmentation=options.augmentation)
    return Part(source=held, targets=torch.cat(targets))


def _records(cifar: Cifar, name: str, data: bytes) -> tuple[Tensor, Tensor]:
    length = cifar.label_bytes + _PIXELS
    if not data or len(data) % length:
        raise InvalidFileError(
            f"{cifar.name}: {name} has {len(data)} bytes, which is not a multiple of {length}; fetch it again"
        )
    records = torch.from_numpy(np.frombuffer(data, dtype=np.uint8).reshape(-1, length).copy())
    images = records[:, cifar.label_bytes :].reshape(-1, 3, 32, 32)
    return images, records[:, cifar.label_bytes - 1].long()
