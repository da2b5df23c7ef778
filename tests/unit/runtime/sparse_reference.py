"""Convolution and matrix product in float64 numpy, tap by tap, where absent weights never multiply."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def conv(
    x: NDArray, weight: NDArray, bias: NDArray, strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int],
    group: int,
) -> NDArray[np.float64]:  # fmt: skip
    """y[n, o, ...] = bias[o] + sum over the present weights; any number of spatial axes."""
    rank = x.ndim - 2
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    outputs, group_inputs = weight.shape[:2]
    extents = [
        (padded.shape[2 + a] - (weight.shape[2 + a] - 1) * dilations[a] - 1) // strides[a] + 1 for a in range(rank)
    ]
    y = np.zeros((x.shape[0], outputs, *extents))
    y += bias.astype(np.float64).reshape(1, -1, *[1] * rank)
    for tap in itertools.product(*[range(k) for k in weight.shape[2:]]):
        window = tuple(
            slice(t * d, t * d + (e - 1) * s + 1, s)
            for t, d, e, s in zip(tap, dilations, extents, strides, strict=True)
        )
        for o in range(outputs):
            first = o // (outputs // group) * group_inputs
            for i in np.flatnonzero(weight[(o, slice(None), *tap)]):
                y[:, o] += float(weight[(o, i, *tap)]) * padded[(slice(None), first + i, *window)]
    return y


def gemm(x: NDArray, weight: NDArray, bias: NDArray) -> NDArray[np.float64]:
    """y = x W^T + b over the last axis."""
    return x.astype(np.float64) @ weight.astype(np.float64).T + bias.astype(np.float64)
