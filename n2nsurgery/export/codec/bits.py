"""Bitmask code: one bit for each place of a flattened weight, the first in the lowest bit; the non-zeros in order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.core.errors import InvalidFileError

Array = NDArray[np.generic]


def encode(positions: NDArray[np.int64], numel: int) -> NDArray[np.uint8]:
    """ceil(numel / 8) bytes with the bits at `positions` set; the bits behind the last place are 0."""
    kept = np.zeros(numel, np.bool_)
    kept[positions] = True
    return np.packbits(kept, bitorder="little")


def decode(bits: Array, values: Array, numel: int) -> Array:
    """The flat weight of `numel` elements, in the type of `values`.

    Raises InvalidFileError for another type or length, for bits behind the last place, and where there are not as
    many values as bits.
    """
    if bits.dtype != np.uint8 or bits.shape != ((numel + 7) // 8,) or values.ndim != 1:
        raise InvalidFileError(
            f"bitmask of {bits.dtype} {bits.shape}; {numel} places need {(numel + 7) // 8} bytes of uint8"
        )
    kept = np.unpackbits(bits.view(np.uint8), bitorder="little").view(np.bool_)
    if kept[numel:].any():
        raise InvalidFileError(f"bitmask has bits set behind the weight's {numel} places")
    if (found := np.count_nonzero(kept)) != len(values):
        raise InvalidFileError(f"bitmask has {found} bits set for {len(values)} values")
    flat = np.zeros(numel, values.dtype)
    flat[kept[:numel]] = values
    return flat
