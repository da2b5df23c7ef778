"""IDX, the format of MNIST: 2 zero bytes, a type, the number of dimensions, each as 4 bytes big-endian, the values."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch
from torch import Tensor

from n2nsurgery.core.errors import InvalidFileError

_UNSIGNED_BYTE = 8
_MOST_BYTES = 4 << 30


def read_idx(path: Path, dimensions: int) -> Tensor:
    """The uint8 tensor in the file at `path`, plain or .gz; InvalidFileError for another format, type or length."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read(cast("IO[bytes]", file), path, dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidFileError(f"'{path}' cannot be read: {error}; fetch it again") from error


def _read(file: IO[bytes], path: Path, dimensions: int) -> Tensor:
    head = file.read(4)
    if len(head) != 4 or head[:2] != b"\0\0" or head[2] != _UNSIGNED_BYTE or head[3] != dimensions:  # noqa: PLR2004 - bytes of the head
        raise InvalidFileError(
            f"'{path}' starts with {head.hex() or 'nothing'}; IDX of unsigned bytes in {dimensions} dimensions starts "
            f"with 000008{dimensions:02x}"
        )
    shape = struct.unpack(f">{dimensions}I", _exactly(file, 4 * dimensions, path))
    size = math.prod(shape)
    if not 0 < size <= _MOST_BYTES:
        raise InvalidFileError(f"'{path}' declares shape {shape}: {size} bytes; between 1 and {_MOST_BYTES} are read")
    data = _exactly(file, size, path)
    if file.read(1):
        raise InvalidFileError(f"'{path}' is longer than its shape {shape}; fetch it again")
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).reshape(shape).copy())


def _exactly(file: IO[bytes], size: int, path: Path) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise InvalidFileError(f"'{path}' was cut off: {len(data)} of {size} bytes are there; fetch it again")
    return data
