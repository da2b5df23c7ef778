"""How a convolution walks over its input, and the sizes of one call as the native library reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from n2nsurgery.core.errors import UsageError
from n2nsurgery.sparse_training.functions import native
from n2nsurgery.sparse_training.functions.pattern import SparsePattern


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a convolution of one to three axes walks; `before` and `after` are zeros around the input."""

    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]

    def output(self, size: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """The spatial size of the result; raises UsageError where the kernel does not fit."""
        result = tuple(
            (size[i] + self.before[i] + self.after[i] - self.dilation[i] * (kernel[i] - 1) - 1) // self.stride[i] + 1
            for i in range(len(self.stride))
        )
        if min(result, default=1) < 1:
            raise UsageError(f"a kernel of {tuple(kernel)} does not fit into an input of {tuple(size)}")
        return result


def shape_of(x_shape: Sequence[int], pattern: SparsePattern, geometry: Geometry) -> native.ConvShape:
    """The sizes of one call, as the library reads them."""
    return _shape_of(tuple(x_shape), pattern.shape, pattern.groups, geometry)


@lru_cache(maxsize=1024)  # the same in every step
def _shape_of(x_shape: tuple[int, ...], weight: tuple[int, ...], groups: int, geometry: Geometry) -> native.ConvShape:
    kernel, size = weight[2:], x_shape[2:]
    return native.ConvShape(
        batch=x_shape[0],
        groups=groups,
        inputs=x_shape[1],
        outputs=weight[0],
        input=native.axes(size, 1),
        kernel=native.axes(kernel, 1),
        stride=native.axes(geometry.stride, 1),
        pad=native.axes(geometry.before, 0),
        dilation=native.axes(geometry.dilation, 1),
        output=native.axes(geometry.output(size, kernel), 1),
    )
