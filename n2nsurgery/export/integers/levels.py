"""Levels: how the values of one tensor become uint8.

    x ~ (q - zero) scale,  0 <= q <= 255,  0.0 is a level exactly

As ONNX's QuantizeLinear: q = clamp(round(x / scale) + zero), rounded half to even.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 255
"""The last level."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """`scale`: the distance of two levels, a float32 above 0; `zero`: the level of 0.0, 0 to 255."""

    scale: float
    zero: int


def levels_of(low: float, high: float) -> Levels:
    """The Levels of values between `low` and `high`, both finite; the range is widened to hold 0.0.

    A tensor that is zero everywhere has scale 1.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / MOST))
    if not scale:
        return Levels(scale=1.0, zero=0)
    return Levels(scale=scale, zero=int(np.clip(np.rint(-low / scale), 0, MOST)))
