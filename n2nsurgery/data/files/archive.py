"""Images in a tar archive, read without unpacking it: nothing is written, names are keys and never paths.

A plain .tar is read where its images lie, on demand; an archive in it counts as the folder of its name, and its images
are read in place, too. A compressed one cannot be: its members are read once, in order, and held in memory as they are
encoded. Nothing is cached on disk: reading and decoding 60,000 images of 32 x 32 takes
seconds, and what is not kept cannot be stale.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.data.files.decoding import MOST_BYTES
from n2nsurgery.data.files.image_files import ImageFiles, is_image

SUFFIXES = (".tar", ".tar.gz", ".tgz")
_MOST_HELD = 8 << 30
_MOST_MEMBERS = 20_000_000
_BLOCK = 512
_END = bytes(2 * _BLOCK)  # two blocks of zeros end an archive
_INNER = ".tar"

_Span = tuple[str, int, int]


def is_archive(path: Path) -> bool:
    """Whether `path` is named like an archive that can be read."""
    return path.name.lower().endswith(SUFFIXES)


def images_of_archive(path: Path) -> ImageFiles:
    """The images of the archive at `path`, by name; InvalidFileError where it is damaged, unsafe or too large."""
    try:
        return _plain(path) if path.name.lower().endswith(".tar") else _compressed(path)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise InvalidFileError(f"'{path}' is not a whole tar archive: {error}; fetch or make it again") from error


def _plain(path: Path) -> ImageFiles:
    places: dict[str, tuple[int, int]] = {}
    ignored = 0
    for name, start, size in _spans_with_inner(path):
        if is_image(name):
            places[name] = (start, size)
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


def _spans_with_inner(path: Path) -> Iterator[_Span]:
    """Name, start and size of every file; of those in an inner archive `a/b.tar` as `a/b/<name>`."""
    with path.open("rb") as file:
        for span in list(_spans(file, (str(path), 0, path.stat().st_size))):
            if not _is_inner(span[0]):
                yield span
                continue
            folder = span[0][: -len(_INNER)]
            for name, start, size in _spans(file, (f"{path}/{span[0]}", *span[1:])):
                yield f"{folder}/{name}", start, size


def _spans(file: BinaryIO, archive: _Span) -> Iterator[_Span]:
    """Name, start and size of every file of an `archive` that is itself such a span of `file`."""
    where, begin, length = archive
    file.seek(begin + max(0, length - len(_END)))
    if file.read(min(length, len(_END))) != _END:
        raise InvalidFileError(f"'{where}' has no end-of-archive mark: it was cut off; fetch or make it again")
    file.seek(begin)
    with tarfile.open(fileobj=file, mode="r:") as opened:
        for member in _files(opened, where, inner=True):
            if member.offset_data + member.size > begin + length:
                raise InvalidFileError(f"'{member.name}' in '{where}' reaches beyond its end; fetch or make it again")
            yield member.name, member.offset_data, member.size
        file.seek(opened.offset)  # tarfile takes a damaged header for the end
        if any(file.read(_BLOCK)):
            raise InvalidFileError(
                f"'{where}' is not a whole tar archive: it has no member at byte {opened.offset - begin}"
            )


def _is_inner(name: str) -> bool:
    return name.lower().endswith(_INNER)


def _compressed(path: Path) -> ImageFiles:
    held: dict[str, bytes] = {}
    ignored = total = 0
    with tarfile.open(path, "r:gz") as archive:
        for member in _files(archive, str(path)):
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


def _files(archive: tarfile.TarFile, path: str, *, inner: bool = False) -> Iterator[tarfile.TarInfo]:
    """The regular files among the members, `inner` archives of any size; InvalidFileError for what no images need."""
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
        if member.size > MOST_BYTES and not (inner and _is_inner(member.name)):
            raise InvalidFileError(
                f"'{member.name}' in '{path}' has {member.size} bytes; at most {MOST_BYTES} are read"
            )
        yield member
