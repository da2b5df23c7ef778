"""Windows: how neurons are grouped, following the geometry of their layer (scatter paper, section 3, Figs. 4-5).

A layer of n neurons is cut into as many windows as an opposite neuron has connections, so that ideally each window
gives one. With shape (n,) window(k) = floor(k * windows / n). An image (H, W), a feature map (C, H, W) or a volume is
cut along every axis into the same fractions: 16 windows of a 28 x 28 image are 4 x 4 squares of 7 x 7 pixels, 8
windows of a feature map halve its features, its height and its width.
"""

from __future__ import annotations

from itertools import product
from math import floor, log, prod

import numpy as np
from numpy.typing import NDArray


def window_numbers(shape: tuple[int, ...], fan: float) -> NDArray[np.int64]:
    """For each neuron of a layer of `shape` (row-major) the number of its window, in [0, windows).

    `fan`: connections of an opposite neuron on the average; there are min(n, max(1, floor(fan))) windows, fewer where
    that number is not a product that suits the shape.
    """
    # a product of mean fans may be inf, or fall a rounding short of an integer
    wanted = max(1, floor(min(fan * (1 + 1e-12), prod(shape))))
    numbers = np.zeros(shape, dtype=np.int64)
    for axis, (length, cuts) in enumerate(zip(shape, cuts_of(shape, wanted), strict=True)):
        along = np.arange(length) * cuts // length
        numbers = numbers * cuts + along.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    return numbers.ravel()


def cuts_of(shape: tuple[int, ...], wanted: int) -> tuple[int, ...]:
    """Windows along each axis, at most `wanted` in all: close to that number and about as many along every axis."""
    if len(shape) == 1:
        return (wanted,)
    leading = [range(1, min(length, wanted) + 1) for length in shape[:-1]]
    fitting = (cuts for cuts in product(*leading) if prod(cuts) <= wanted)
    options = [(*cuts, min(shape[-1], wanted // prod(cuts))) for cuts in fitting]
    # the root of the imbalance weighs less than the number, but 17 windows are better 4 x 4 than 1 x 17
    return max(options, key=lambda cuts: log(prod(cuts)) - log(max(cuts) / min(cuts)) / 2)
