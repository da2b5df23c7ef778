"""CodedWeight: one weight as the tensors that a file holds."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.export.codec import bits, gaps
from n2nsurgery.export.codec.choose import GAP_TYPES, Code
from n2nsurgery.export.codec.packed import PackedFloats, pack
from n2nsurgery.export.codec.values import FLOAT, StoredValues

Array = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True, eq=False)
class CodedWeight:
    """`shape` and `type` of the weight; `places`: steps or bitmask; `values` as in StoredValues, like `scales`.

    `packed` is what the file holds in place of `values`, where it is not None.
    """

    shape: tuple[int, ...]
    code: Code
    places: Array
    values: Array
    scales: NDArray[np.float32] | None = None
    type: np.dtype[Any] = FLOAT
    packed: PackedFloats | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        values = self.packed or self.values
        return self.places.nbytes + values.nbytes + (self.scales.nbytes if self.scales is not None else 0)

    @property
    def nnz(self) -> int:
        """Values that are not zero."""
        return int(np.count_nonzero(self.values))

    def decoded(self) -> NDArray[Any]:
        """The weight in its type; InvalidFileError where the tensors are not a code of this shape."""
        numel = prod(self.shape)
        if self.scales is not None and self.scales.shape != self.shape[:1]:
            raise InvalidFileError(
                f"{self.scales.shape} scales for a weight of shape {self.shape}; one for each row is expected"
            )
        decode = bits.decode if self.code == "bits" else gaps.decode
        array = decode(self.places, self.values, numel).reshape(self.shape)
        return StoredValues(array=array, scales=self.scales, type=self.type).restored()


def encode(stored: StoredValues, code: Code, *, packed: bool = False) -> CodedWeight:
    """`stored` in one of the sparse codes; a weight of value zero is not kept.

    `packed`: values of float32 are packed where that is smaller.
    """
    flat = stored.array.reshape(-1)
    positions = np.flatnonzero(flat).astype(np.int64)
    values: Array = flat[positions]
    if code == "bits":
        places: Array = bits.encode(positions, flat.size)
    else:
        places, values = gaps.encode(positions, values, GAP_TYPES[code])
    return CodedWeight(
        shape=stored.array.shape,
        code=code,
        places=places,
        values=values,
        scales=stored.scales,
        type=stored.type,
        packed=pack(values) if packed and values.dtype == FLOAT else None,
    )
