"""Arrays of an .npz file: no pickled objects, and no more bytes than a data set has."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from n2nsurgery.core.errors import InvalidFileError

_MOST_BYTES = 16 << 30


def read_npz(path: Path, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The arrays named in `needed` and, where they are there, in `optional`.

    InvalidFileError for a file that is missing, no zip archive, damaged or too large, lacks an array, or holds objects.
    """
    try:
        chosen = _chosen(path, needed, optional)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in chosen}
    except FileNotFoundError:
        raise InvalidFileError(f"there is no file '{path}'; paths begin in the current folder '{Path.cwd()}'") from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise InvalidFileError(f"'{path}' is not a whole .npz file: {error}; write it with numpy.savez") from error
    except MemoryError as error:  # a damaged header asks for more than any machine has
        raise InvalidFileError(f"'{path}' holds an array that does not fit into memory: {error}") from error


def _chosen(path: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the arrays to read, which are there and of a bounded size in all."""
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
    absent = [name for name in needed if name not in sizes]
    if absent:
        allowed = f", may have {', '.join(optional)}" if optional else ""
        raise InvalidFileError(
            f"'{path}' has no {', '.join(absent)}; it needs {', '.join(needed)}{allowed}, and has "
            f"{', '.join(sorted(sizes)) or 'nothing'}"
        )
    chosen = tuple(name for name in (*needed, *optional) if name in sizes)
    total = sum(sizes[name] for name in chosen)
    if total > _MOST_BYTES:
        raise InvalidFileError(f"'{path}' holds {total} bytes of arrays; at most {_MOST_BYTES} are read")
    return chosen
