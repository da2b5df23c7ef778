"""Value codes: what a kept weight is stored as.

fp32: as it is. fp16: rounded to the nearest half. int8: q = round(w / s), w' = q s, with one scale s = max |w| / 127
for each row of the first dimension (an output channel). What is not zero never rounds to zero: it takes the smallest
value of its sign, so that the zeros of a file are those of its masks and a block keeps its shape.
A weight of another type than float32 (halves, the integers of a quantized file) is stored as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.export.config import StoredAs, Values

VALUES: tuple[Values, ...] = get_args(Values)
BYTES = {"fp32": 4, "fp16": 2, "int8": 1}

AS_THEY_ARE: dict[str, StoredAs] = {
    "float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "int8": "int8", "uint8": "uint8",
}  # fmt: skip
"""Types of tensors that can be coded, and the value code that stores each without rounding."""

FLOAT: np.dtype[Any] = np.dtype(np.float32)

LARGEST_INT8 = 127

LARGEST_MULTIPLIED = 64
"""The same where int8 levels are multiplied as integers: two products with a uint8 level fit 16 bits, which processors
without VNNI add them in, ONNX Runtime's own kernels too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredValues:
    """A weight in the type it is stored in, of the weight's shape; `scales` (float32, one a row) only for int8.

    `type` is that of the weight in the network.
    """

    array: NDArray[np.generic]
    scales: NDArray[np.float32] | None = None
    type: np.dtype[Any] = FLOAT

    def restored(self) -> NDArray[Any]:
        """The weight as every reader of the file computes it, in its own type."""
        floats = self.array.astype(np.float32)
        if self.scales is not None:
            floats = floats * self.scales.reshape(-1, *(1,) * (floats.ndim - 1))
        return floats.astype(self.type, copy=False)


def store(weight: NDArray[Any], values: Values, largest: int = LARGEST_INT8) -> StoredValues:
    """`weight` (rows first) in the type that `values` names; zeros stay zeros, nothing else becomes one.

    Only float32 is rounded; other types are stored as they are. `largest`: the int8 level of a row's largest weight.
    """
    if values == "fp32" or weight.dtype != FLOAT:
        return StoredValues(array=weight, type=weight.dtype)
    if values == "fp16":
        halves = weight.astype(np.float16)
        vanished = (halves == 0) & (weight != 0)
        halves[vanished] = np.copysign(np.finfo(np.float16).smallest_subnormal, halves[vanished])
        return StoredValues(array=halves)
    rows = weight.reshape(len(weight), -1)
    peaks = np.abs(rows).max(axis=1, initial=0)
    scales = np.where(peaks > 0, peaks / largest, 1).astype(np.float32)
    scales[scales == 0] = np.finfo(np.float32).tiny  # a peak so small that its 127th part is not a float
    levels = np.clip(np.rint(rows / scales[:, None]), -largest, largest)
    levels = np.where(levels == 0, np.sign(rows), levels)
    return StoredValues(array=levels.astype(np.int8).reshape(weight.shape), scales=scales)


def unfit(weight: NDArray[Any], values: Values) -> str | None:
    """Why `weight` cannot be stored as `values`, or None."""
    if not np.isfinite(weight.astype(FLOAT, copy=False)).all():
        return "holds a value that is not finite"
    if values != "fp16" or weight.dtype != FLOAT:
        return None
    if (peak := np.abs(weight).max(initial=0)) > (limit := np.finfo(np.float16).max):
        return f"holds {peak:.3g}, beyond the largest fp16 value, {limit:.5g}"
    return None
