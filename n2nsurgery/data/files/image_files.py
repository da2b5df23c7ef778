"""Images by name, in a folder or an archive, and how the names arrange them: [split/]class/.../image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.data.files.decoding import MOST_BYTES, SUFFIXES

_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_DEEPEST = 8  # folders below the root; also ends the walk where links make a circle
_LISTED = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFiles:
    """Images `names` (relative, with `/`, sorted), the i-th encoded as `read(i)`; `ignored` files are not images."""

    where: Path
    names: tuple[str, ...]
    read: Callable[[int], bytes]
    ignored: int


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Class names in order, and for each split ("train", "validation", "test" or "all") its (image, class) indices."""

    classes: tuple[str, ...]
    splits: dict[str, tuple[tuple[int, int], ...]]


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image: its suffix is one, and no part of it is hidden."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") and part != "." for part in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES


def images_of_folder(path: Path) -> ImageFiles:
    """The images below the folder `path`, by relative name; they are read when asked for."""
    names, ignored = [], 0
    for place, folders, files in os.walk(path, followlinks=True):
        inside = Path(place).relative_to(path)
        if len(inside.parts) >= _DEEPEST:
            folders.clear()
        for name in ((inside / file).as_posix() for file in files):
            if is_image(name):
                names.append(name)
            else:
                ignored += 1
    ordered = tuple(sorted(names))

    def read(index: int) -> bytes:
        file = path / ordered[index]
        try:
            with file.open("rb") as opened:
                data = opened.read(MOST_BYTES + 1)
        except OSError as error:
            raise InvalidFileError(f"'{file}' cannot be read: {error}") from error
        if len(data) > MOST_BYTES:
            raise InvalidFileError(f"'{file}' is larger than {MOST_BYTES} bytes; no image of that size is read")
        return data

    return ImageFiles(where=path, names=ordered, read=read, ignored=ignored)


def renamed(where: Path, images: Iterable[tuple[str, ImageFiles, int]], ignored: int) -> ImageFiles:
    """Images of other collections under new names: of each its name, the collection, and its index there."""
    ordered = sorted(images, key=lambda image: image[0])

    def read(index: int) -> bytes:
        _, files, place = ordered[index]
        return files.read(place)

    return ImageFiles(where=where, names=tuple(name for name, _, _ in ordered), read=read, ignored=ignored)


def arrange(files: ImageFiles) -> Arrangement:
    """Splits and classes by the names: `train|val|test/class/image`, or `class/image`, which is the split "all".

    One folder around everything is passed over. Classes are in alphabetical order of their names, those of "train"
    where there are splits. InvalidFileError for any other layout.
    """
    parts = [PurePosixPath(name).parts for name in files.names]
    while parts and len({part[0] for part in parts}) == 1 and parts[0][0] not in _SPLITS and len(parts[0]) > 2:  # noqa: PLR2004 - class/image
        parts = [part[1:] for part in parts]
    split_layout = bool(parts) and all(part[0] in _SPLITS for part in parts)
    depth = 3 if split_layout else 2
    if not parts or any(len(part) < depth for part in parts):
        raise _layout(files)
    splits = [_SPLITS[part[0]] if split_layout else "all" for part in parts]
    labels = [part[depth - 2] for part in parts]
    source = "train" if split_layout else "all"
    classes = tuple(sorted({label for label, split in zip(labels, splits, strict=True) if split == source}))
    strangers = sorted(set(labels) - set(classes))
    if not classes or strangers:
        found = ", ".join(strangers[:_LISTED])
        raise InvalidFileError(f"'{files.where}' has classes without training images: {found}; every class needs some")
    rank = {label: index for index, label in enumerate(classes)}
    members: dict[str, list[tuple[int, int]]] = {}
    for index, (split, label) in enumerate(zip(splits, labels, strict=True)):
        members.setdefault(split, []).append((index, rank[label]))
    return Arrangement(classes=classes, splits={split: tuple(pairs) for split, pairs in members.items()})


def _layout(files: ImageFiles) -> InvalidFileError:
    some = ", ".join(files.names[:_LISTED]) or f"no image ({files.ignored} other files)"
    return InvalidFileError(
        f"'{files.where}' is not laid out as train|val|test/class/image or class/image; it holds: {some}"
    )
