"""Value codes: what a kept weight is stored as.

fp32: as it is. fp16: rounded to the nearest half. int8: q = round(w / s), w' = q s, with one scale s = max |w| / 127
for each row of the first dimension (an output channel). What is not zero never rounds to zero: it takes the smallest
value of its sign, so that the zeros of a file are those of its masks and a block keeps its shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.export.config import Values

VALUES: tuple[Values, ...] = get_args(Values)
BYTES = {"fp32": 4, "fp16": 2, "int8": 1}

_LARGEST_INT8 = 127


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredValues:
    """A weight in the type it is stored in, of the weight's shape; `scales` (float32, one a row) only for int8."""

    array: NDArray[np.generic]
    scales: NDArray[np.float32] | None = None

    def restored(self) -> NDArray[np.float32]:
        """The weight as every reader of the file computes it, in float32."""
        floats = self.array.astype(np.float32)
        if self.scales is None:
            return floats
        return floats * self.scales.reshape(-1, *(1,) * (floats.ndim - 1))


def store(weight: NDArray[np.float32], values: Values) -> StoredValues:
    """`weight` (float32, rows first) in the type that `values` names; zeros stay zeros, nothing else becomes one."""
    if values == "fp32":
        return StoredValues(array=weight)
    if values == "fp16":
        halves = weight.astype(np.float16)
        vanished = (halves == 0) & (weight != 0)
        halves[vanished] = np.copysign(np.finfo(np.float16).smallest_subnormal, halves[vanished])
        return StoredValues(array=halves)
    rows = weight.reshape(len(weight), -1)
    peaks = np.abs(rows).max(axis=1, initial=0)
    scales = np.where(peaks > 0, peaks / _LARGEST_INT8, 1).astype(np.float32)
    scales[scales == 0] = np.finfo(np.float32).tiny  # a peak so small that its 127th part is no float
    levels = np.clip(np.rint(rows / scales[:, None]), -_LARGEST_INT8, _LARGEST_INT8)
    levels = np.where(levels == 0, np.sign(rows), levels)
    return StoredValues(array=levels.astype(np.int8).reshape(weight.shape), scales=scales)


def unfit(weight: NDArray[Any], values: Values) -> str | None:
    """Why `weight` cannot be stored as `values`, or None."""
    if not np.isfinite(weight).all():
        return "holds a value that is not finite"
    if values == "fp16" and (peak := np.abs(weight).max(initial=0)) > (limit := np.finfo(np.float16).max):
        return f"holds {peak:.3g}, beyond the largest fp16 value, {limit:.5g}"
    return None
