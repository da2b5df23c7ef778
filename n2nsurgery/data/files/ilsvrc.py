"""ImageNet's official archives as one collection of images, read as they were fetched: nothing has to be unpacked.

    ILSVRC2012_img_train.tar        one archive for each class: n01440764.tar, ...
    ILSVRC2012_img_val.tar          ILSVRC2012_val_00000001.JPEG, ..., whose names say no class
    ILSVRC2012_devkit_t12.tar.gz    for each of these a number, data/ILSVRC2012_validation_ground_truth.txt, and for
                                    each number a synset, data/meta.mat

In place of the last two there may be a folder val/synset/image; in place of the last one a text file of 50,000 lines,
one synset for each image, as it comes with many programs. The .mat file is of a version that scipy reads without
unpickling anything.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from pathlib import Path
from typing import Any

from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.data.files.archive import images_of_archive
from n2nsurgery.data.files.decoding import MOST_BYTES
from n2nsurgery.data.files.image_files import ImageFiles, images_of_folder, renamed

TRAIN = "ILSVRC2012_img_train.tar"
VALIDATION = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
SYNSETS = "imagenet_2012_validation_synset_labels.txt"
_FOLDER = "val"
_TRUTH, _META = "data/ILSVRC2012_validation_ground_truth.txt", "data/meta.mat"
_NAME = re.compile(r"(?:.*/)?ILSVRC2012_val_(\d{8})\.JPEG")
_SYNSET = re.compile(r"n\d{8}")


def has_archives(folder: Path) -> bool:
    """Whether the images for training lie in `folder` as an archive, and not unpacked beside it."""
    return (folder / TRAIN).is_file() and not (folder / "train").is_dir()


def official_images(folder: Path) -> ImageFiles:
    """All images of the archives in `folder`, named train|val/synset/image.

    Raises UsageError where validation images or their classes are missing, InvalidFileError for damaged files.
    """
    parts = {"train": images_of_archive(folder / TRAIN), _FOLDER: _validation(folder)}
    images = [(f"{part}/{name}", files, i) for part, files in parts.items() for i, name in enumerate(files.names)]
    return renamed(folder, images, sum(files.ignored for files in parts.values()))


def _validation(folder: Path) -> ImageFiles:
    """The validation images, named synset/image."""
    if (folder / _FOLDER).is_dir():
        return images_of_folder(folder / _FOLDER)
    if not (folder / VALIDATION).is_file():
        raise UsageError(
            f"'{folder / TRAIN}' holds only the images for training; put {VALIDATION} beside it, with {DEVKIT} for "
            f"the classes, or a folder {_FOLDER}/synset/image"
        )
    files = images_of_archive(folder / VALIDATION)
    synsets = _synsets(folder)
    if len(files.names) != len(synsets):
        raise InvalidFileError(f"'{files.where}' has {len(files.names)} images, and {len(synsets)} have a class")
    images: list[tuple[str, ImageFiles, int]] = []
    for index, name in enumerate(files.names):
        found = _NAME.fullmatch(name)
        if found is None or not 0 < int(found[1]) <= len(synsets):
            raise InvalidFileError(f"'{files.where}' has an image '{name}', where ILSVRC2012_val_00000001.JPEG is one")
        images.append((f"{synsets[int(found[1]) - 1]}/{Path(name).name}", files, index))
    return renamed(files.where, images, files.ignored)


def _synsets(folder: Path) -> list[str]:
    """The synset of every validation image, by its number."""
    if (folder / SYNSETS).is_file():
        path, synsets = folder / SYNSETS, _words((folder / SYNSETS).read_bytes())
    elif (folder / DEVKIT).is_file():
        path = folder / DEVKIT
        synsets = _of_devkit(path)
    else:
        raise UsageError(
            f"'{folder / VALIDATION}' does not say which image is of which class; put {DEVKIT} beside it, or {SYNSETS} "
            "with one synset (n01440764) a line"
        )
    wrong = next((word for word in synsets if not _SYNSET.fullmatch(word)), None)
    if wrong is not None:
        raise InvalidFileError(f"'{path}' gives '{wrong}' as class of an image; a synset such as n01440764 is needed")
    return synsets


def _of_devkit(path: Path) -> list[str]:
    try:
        with tarfile.open(path, "r:gz") as archive:
            truth, meta = (_content(archive, name, path) for name in (_TRUTH, _META))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InvalidFileError(f"'{path}' is not a whole tar archive: {error}; fetch it again") from error
    try:
        rows: Any = loadmat(io.BytesIO(meta), squeeze_me=True, variable_names=["synsets"])["synsets"]
        synsets = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}
        return [synsets[int(word)] for word in _words(truth)]
    # Whatever the parser of this format meets; a number that is not a class is a KeyError.
    except (ValueError, TypeError, LookupError, NotImplementedError, OSError, zlib.error, MatReadError) as error:
        raise InvalidFileError(f"'{path}' holds no classes of ILSVRC 2012: {error!r}; fetch it again") from error


def _content(archive: tarfile.TarFile, name: str, path: Path) -> bytes:
    for member in archive:
        if member.isreg() and (member.name == name or member.name.endswith(f"/{name}")) and member.size <= MOST_BYTES:
            file = archive.extractfile(member)
            return b"" if file is None else file.read()
    raise InvalidFileError(f"'{path}' holds no {name}; fetch it again")


def _words(data: bytes) -> list[str]:
    return data.decode("ascii", errors="replace").split()
