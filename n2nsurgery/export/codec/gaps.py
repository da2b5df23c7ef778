"""Gap code: the positions of the non-zeros of a flattened weight as steps from one to the next.

The first step counts from 0, so it may be 0; every other is at least 1. A distance beyond the largest step is walked
in several: an entry with the largest step and the value 0 (a filler) moves on without naming a weight.

    position[i] = step[0] + ... + step[i]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from n2nsurgery.core.errors import InvalidFileError

Array = NDArray[np.generic]


def entries(positions: NDArray[np.int64], dtype: DTypeLike) -> int:
    """How many entries, fillers included, the code of these ascending positions has; at least one."""
    return max(1, len(positions) + int(_fillers(_steps(positions), _largest(dtype)).sum()))


def encode(positions: NDArray[np.int64], values: Array, dtype: DTypeLike) -> tuple[Array, Array]:
    """(steps, values), equally long: `positions` ascending and distinct, `dtype` uint8 or uint16.

    A weight without non-zeros is one entry of step 0 and value 0: no tool has to cope with an empty tensor.
    """
    if not len(positions):
        return np.zeros(1, dtype), np.zeros(1, values.dtype)
    largest = _largest(dtype)
    steps = _steps(positions)
    fillers = _fillers(steps, largest)
    places = np.cumsum(fillers + 1) - 1
    coded = np.full(int(places[-1]) + 1, largest, dtype)
    coded[places] = steps - fillers * largest
    with_fillers = np.zeros(len(coded), values.dtype)
    with_fillers[places] = values
    return coded, with_fillers


def decode(steps: Array, values: Array, numel: int) -> Array:
    """The flat weight of `numel` elements that `encode` was given, in the type of `values`.

    Raises InvalidFileError where the code is none: another type or length, two entries at one place, or a place
    behind the weight's end.
    """
    if steps.dtype not in (np.uint8, np.uint16) or steps.ndim != 1 or values.shape != steps.shape:
        raise InvalidFileError(
            f"gap code of {steps.dtype} {steps.shape} with values {values.shape}; "
            "two vectors of one length are expected, the steps of uint8 or uint16"
        )
    positions = np.cumsum(steps, dtype=np.int64)
    if (steps[1:] == 0).any():
        raise InvalidFileError(f"gap code: entry {int(np.argmin(steps[1:] != 0)) + 1} repeats the place before it")
    if len(positions) and positions[-1] >= numel:
        raise InvalidFileError(f"gap code ends at place {positions[-1]} of a weight with {numel} places")
    flat = np.zeros(numel, values.dtype)
    flat[positions] = values
    return flat


def _largest(dtype: DTypeLike) -> int:
    return int(np.iinfo(dtype).max)


def _steps(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diff(positions, prepend=np.int64(0))


def _fillers(steps: NDArray[np.int64], largest: int) -> NDArray[np.int64]:
    """Fillers before each entry, so that 1 to `largest` are left for the entry itself."""
    return np.maximum(steps - 1, 0) // largest
