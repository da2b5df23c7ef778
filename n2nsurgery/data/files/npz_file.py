"""Arrays of an .npz file, read member by member: no pickled objects, and no size that its own header does not state."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from n2nsurgery.core.errors import InvalidFileError

_MOST_BYTES = 16 << 30
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The arrays named in `needed` and, where they are there, in `optional`.

    InvalidFileError for a file that is no zip archive, is damaged or too large, lacks an array, or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            stored = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            absent = [name for name in needed if name not in stored]
            if absent:
                raise InvalidFileError(
                    f"'{path}' has no {', '.join(absent)}; it needs {', '.join(needed)}, may have "
                    f"{', '.join(optional)}, and has {', '.join(sorted(stored)) or 'nothing'}"
                )
            chosen = {name: stored[name] for name in (*needed, *optional) if name in stored}
            total = sum(info.file_size for info in chosen.values())
            if total > _MOST_BYTES:
                raise InvalidFileError(f"'{path}' holds {total} bytes of arrays; at most {_MOST_BYTES} are read")
            return {name: _array(archive, info, f"{path}: {name}") for name, info in chosen.items()}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise InvalidFileError(f"'{path}' is no whole .npz file: {error}; write it with numpy.savez") from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> np.ndarray:
    with archive.open(info) as file:
        size = _declared(file, where) + file.tell()
    if size != info.file_size:
        raise InvalidFileError(f"{where} declares {size} bytes, but {info.file_size} are stored")
    with archive.open(info) as file:
        return npy.read_array(file, allow_pickle=False)


def _declared(file: IO[bytes], where: str) -> int:
    """Bytes of values that the header at the start of `file` declares; it stands at their beginning afterwards."""
    reader = _READERS.get(npy.read_magic(file))
    if reader is None:
        raise InvalidFileError(f"{where} is of a version of .npy that is not read; write it with numpy.savez")
    shape, _, dtype = reader(file)
    if dtype.hasobject:
        raise InvalidFileError(f"{where} holds Python objects, which are not read; store numbers")
    return math.prod(shape) * int(dtype.itemsize)
