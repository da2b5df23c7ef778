"""Packed floats: the kept values of a weight in about 27 bits each in place of 32, without a rounding.

A float32 is sign, exponent e and fraction. The signs and fractions of weights are random, but most weights of a layer
share a few exponents: of 8 bits, 2 to 3 are information. So the three bytes of sign and fraction stand as they are, and
the exponent takes three bits: the number of one of the seven most common ones, or 7 for the next of a list of all
others, which takes 8 bits more.

    w = (-1)^sign (2^23 + fraction) 2^(e - 150)    for e from 1 to 254;    0 for e = 0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.core.errors import InvalidFileError

Bytes = NDArray[np.uint8]

PLANES = 3
"""Bits of an exponent's number, each in a plane of its own: bit i of all values lies in row i, eight to a byte."""

RARE = 2**PLANES - 1
"""The number that stands for the next exponent of the list."""

OVERHEAD = 500
"""Bytes that three more tensors, a node and their names add to a packed weight."""

_SIGN = 128
_HIDDEN_BIT = 1 << 23
_EXPONENTS = 256
_NOT_FINITE = 255


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedFloats:
    """`significands` [3, n]: fraction and sign, the low byte first; `exponents` [3, ceil(n / 8)]: planes of numbers.

    `common` [7]: the exponents that have numbers. `rare`: all others in order; at least one, unused if there is none.
    """

    significands: Bytes
    exponents: Bytes
    common: Bytes
    rare: Bytes

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return self.significands.nbytes + self.exponents.nbytes + self.common.nbytes + self.rare.nbytes


def pack(values: NDArray[Any]) -> PackedFloats | None:
    """The packed form of a vector of float32; None where it would not be smaller, or for values that it cannot hold.

    It holds no subnormal number, no negative zero, no infinity and no NaN.
    """
    words = np.ascontiguousarray(values, np.float32).view(np.uint32)
    exponents = (words >> 23 & 255).astype(np.uint8)
    if (exponents == _NOT_FINITE).any() or (words[exponents == 0] != 0).any():
        return None
    counts = np.bincount(exponents, minlength=_EXPONENTS)
    common = np.argsort(-counts, kind="stable")[:RARE].astype(np.uint8)
    number_of = np.full(_EXPONENTS, RARE, np.uint8)
    number_of[common] = np.arange(RARE)
    numbers = number_of[exponents]
    fraction = words & (_HIDDEN_BIT - 1) | (words >> 31) << 23
    rare = exponents[numbers == RARE]
    packed = PackedFloats(
        significands=np.stack([(fraction >> shift).astype(np.uint8) for shift in (0, 8, 16)]),
        exponents=np.stack([np.packbits(numbers >> i & 1, bitorder="little") for i in range(PLANES)]),
        common=common,
        rare=rare if len(rare) else np.zeros(1, np.uint8),
    )
    return packed if packed.nbytes + OVERHEAD < words.nbytes else None


def unpack(packed: PackedFloats) -> NDArray[np.float32]:
    """The vector that `pack` was given; InvalidFileError where the tensors are not packed floats."""
    count = _count(packed)
    bits = np.unpackbits(packed.exponents, axis=1, bitorder="little", count=count)
    numbers = bits[0] | bits[1] << 1 | bits[2] << 2
    of_list = numbers == RARE
    if (found := int(np.count_nonzero(of_list))) > len(packed.rare):
        raise InvalidFileError(f"packed floats name {found} rare exponents of a list of {len(packed.rare)}")
    exponents = np.append(packed.common, np.uint8(0))[numbers].astype(np.uint32)
    exponents[of_list] = packed.rare[:found]
    low, middle, high = packed.significands.astype(np.uint32)
    words = low | middle << 8 | (high & (_SIGN - 1)) << 16 | (high & _SIGN) << 24 | exponents << 23
    return np.where(exponents, words, 0).astype(np.uint32).view(np.float32)


def _count(packed: PackedFloats) -> int:
    """How many values there are; InvalidFileError where the tensors do not fit each other."""
    tensors = (packed.significands, packed.exponents, packed.common, packed.rare)
    shapes = [tensor.shape for tensor in tensors]
    count = shapes[0][1] if len(shapes[0]) == len(("byte", "value")) else 0
    fitting = [(PLANES, count), (PLANES, (count + 7) // 8), (RARE,), (max(1, packed.rare.size),)]
    if shapes != fitting or any(tensor.dtype != np.uint8 for tensor in tensors):
        raise InvalidFileError(
            f"packed floats of the shapes {shapes}; significands of [3, n] need {fitting[1:3]} and a list of bytes"
        )
    return count
