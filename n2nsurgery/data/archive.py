"""Images in a tar archive, read without unpacking it: nothing is written, names are keys and never paths.

A plain .tar is read where its images lie, on demand. A compressed one cannot be: its members are read once, in order,
and held in memory as they are encoded. Nothing is cached on disk: reading and decoding 60,000 images of 32 x 32 takes
seconds, and what is not kept cannot be stale.
"""

from __future__ import annotations

import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.data.decoding import MOST_BYTES
from n2nsurgery.data.image_files import ImageFiles, is_image

SUFFIXES = (".tar", ".tar.gz", ".tgz")
_MOST_HELD = 8 << 30
_MOST_MEMBERS = 20_000_000
_END = bytes(1024)  # two blocks of zeros end an archive


def is_archive(path: Path) -> bool:
    """Whether `path` is named like an archive that can be read."""
    return path.name.lower().endswith(SUFFIXES)


def images_of_archive(path: Path) -> ImageFiles:
    """The images of the archive at `path`, by name; InvalidFileError where it is damaged, unsafe or too large."""
    try:
        return _plain(path) if path.name.lower().endswith(".tar") else _compressed(path)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise InvalidFileError(f"'{path}' is no whole tar archive: {error}; fetch or make it again") from error


def _plain(path: Path) -> ImageFiles:
    with path.open("rb") as file:
        file.seek(-min(len(_END), path.stat().st_size), os.SEEK_END)
        if file.read() != _END:
            raise InvalidFileError(f"'{path}' has no end-of-archive mark: it was cut off; fetch or make it again")
    places: dict[str, tuple[int, int]] = {}
    ignored = 0
    with tarfile.open(path, "r:") as archive:
        for member in _files(archive, path):
            if is_image(member.name):
                places[member.name] = (member.offset_data, member.size)
            else:
                ignored += 1
    names = tuple(sorted(places))
    spans = [places[name] for name in names]

    def read(index: int) -> bytes:
        start, size = spans[index]
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)

    return ImageFiles(where=path, names=names, read=read, ignored=ignored)


def _compressed(path: Path) -> ImageFiles:
    held: dict[str, bytes] = {}
    ignored = total = 0
    with tarfile.open(path, "r:gz") as archive:
        for member in _files(archive, path):
            if not is_image(member.name):
                ignored += 1
                continue
            total += member.size
            if total > _MOST_HELD:
                raise InvalidFileError(
                    f"'{path}' holds more than {_MOST_HELD} bytes of images; unpack it into a folder"
                )
            data = archive.extractfile(member)
            held[member.name] = b"" if data is None else data.read()
    names = tuple(sorted(held))
    contents = [held[name] for name in names]
    return ImageFiles(where=path, names=names, read=contents.__getitem__, ignored=ignored)


def _files(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The regular files among the members; InvalidFileError for what no archive of images needs."""
    for count, member in enumerate(archive):
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or "\\" in member.name:
            raise InvalidFileError(f"'{path}' has a member '{member.name}' outside of its own folder; it is not read")
        if count >= _MOST_MEMBERS:
            raise InvalidFileError(f"'{path}' has more than {_MOST_MEMBERS} members")
        if member.isdir():
            continue
        if not member.isreg():
            raise InvalidFileError(f"'{path}' has a link or device '{member.name}'; pack the files themselves")
        if member.size > MOST_BYTES:
            raise InvalidFileError(
                f"'{member.name}' in '{path}' has {member.size} bytes; at most {MOST_BYTES} are read"
            )
        yield member
