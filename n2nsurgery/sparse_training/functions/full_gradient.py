"""The gradient of all entries of a sparse layer's weight, kept or not, as rules need it that grow weights by it.

It is the gradient of the kept values for a pattern that keeps everything, by the same kernels: activations stay in
their layout, and the result has the same bits for any number of threads.
"""

from __future__ import annotations

import ctypes
import math

import torch
from torch import Tensor

from n2nsurgery.sparse_training.functions import native
from n2nsurgery.sparse_training.functions.geometry import Geometry, shape_of
from n2nsurgery.sparse_training.functions.pattern import SparsePattern

_MOST_ENTRIES = 1 << 18  # of a pattern that is made for the purpose: some 14 MB


@torch.no_grad()
def add_full_gradient(total: Tensor, x: Tensor, dy: Tensor, pattern: SparsePattern, geometry: Geometry) -> None:
    """Add the gradient of a convolution's weight to `total`, (entries of the weight,), in place.

    `x`: the input, `dy`: the gradient of the output, both batch first and in the layout. `pattern` says the weight's
    shape and groups. Output channels are taken a few at a time, so that no pattern of all entries is made.
    """
    inputs, outputs = pattern.shape[1], pattern.shape[0] // pattern.groups
    width = math.prod(pattern.shape[1:])
    rows = max(1, min(outputs, _MOST_ENTRIES // width))
    whole: dict[int, SparsePattern] = {}
    for first in range(0, pattern.shape[0], outputs):
        source = x.narrow(1, first // outputs * inputs, inputs)
        for row in range(first, first + outputs, rows):
            count = min(rows, first + outputs - row)
            if count not in whole:
                whole[count] = SparsePattern(torch.arange(count * width), (count, *pattern.shape[1:]))
            part = dy.new_zeros(count * width)
            where = {"x": source, "dy": dy.narrow(1, row, count), "dvalues": part}
            passes = native.ConvBackward(**{name: native.address(tensor) for name, tensor in where.items()})
            sizes = ctypes.byref(shape_of(source.shape, whole[count], geometry))
            native.call("conv_backward", whole[count].handle, sizes, ctypes.byref(passes), native.threads())
            total.narrow(0, row * width, count * width).add_(part)
