"""The layout of activations: [C]...[N], the batch innermost, carried in the strides of an ordinary tensor.

A tensor of shape (N, C, H, W) whose memory is [C][H][W][N] can be used anywhere in torch. Element-wise operations keep
its strides; so regions of layers stay in the layout, and a sparse layer converts only what does not lie in it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.sparse_training.functions import memory, native


def require_served(tensor: Tensor, what: str) -> None:
    """Return for a dense float32 tensor on the CPU; raises UsageError for any other, saying what it is."""
    if tensor.device.type != "cpu" or tensor.dtype != torch.float32 or tensor.layout != torch.strided:
        raise UsageError(
            f"{what} is {tensor.dtype} on {tensor.device.type} ({tensor.layout}); sparse training computes in"
            " torch.float32 on the CPU: convert it, or train the dense module there"
        )


@lru_cache(maxsize=1024)  # the same in every step
def batch_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of `shape`, batch first, in the layout."""
    batch, *rest = shape
    strides = [batch * math.prod(rest[axis + 1 :]) for axis in range(len(rest))]
    return (1, *strides)


def _torch_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Those of torch's own order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def empty(shape: Sequence[int]) -> Tensor:
    """An uninitialised float32 tensor of `shape`, batch first, in the layout."""
    sizes = tuple(shape)
    return memory.empty_strided(sizes, batch_last(sizes), math.prod(sizes))


def is_laid_out(tensor: Tensor) -> bool:
    """Whether the memory of `tensor`, batch first, is in the layout."""
    return tensor.stride() == batch_last(tensor.shape) or tensor.movedim(0, -1).is_contiguous()


def lay_out(tensor: Tensor) -> Tensor:
    """`tensor`, batch first, in the layout: itself where it lies so already. No gradient flows through this."""
    if is_laid_out(tensor):
        return tensor
    source = tensor.contiguous()
    target = empty(source.shape)
    _transpose(source, target, source.shape[0], math.prod(source.shape[1:]))
    return target


def batch_first(tensor: Tensor) -> Tensor:
    """`tensor` in torch's own order: itself where it lies so already. No gradient flows through this."""
    if tensor.is_contiguous() or not is_laid_out(tensor):
        return tensor.contiguous()
    target = memory.empty_strided(tuple(tensor.shape), _torch_strides(tuple(tensor.shape)), tensor.numel())
    _transpose(tensor, target, math.prod(tensor.shape[1:]), tensor.shape[0])
    return target


def _transpose(source: Tensor, target: Tensor, rows: int, columns: int) -> None:
    native.call(
        "transpose",
        native.pointer(source),
        native.pointer(target),
        ctypes.c_int64(rows),
        ctypes.c_int64(columns),
        native.threads(),
    )


class ToBatchFirst(torch.autograd.Function):
    """`batch_first` with a gradient, which comes back as it is."""

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:  # noqa: ARG004 - autograd's signature
        """`tensor` in torch's own order."""
        return batch_first(tensor)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # noqa: ARG004
        """The gradient, in the layout of what comes before."""
        return lay_out(gradient)


def to_batch_first(tensor: Tensor) -> Tensor:
    """`tensor` for a layer which wants torch's own order; as it is where that is no matter of the layout."""
    if tensor.is_contiguous() or tensor.dtype != torch.float32 or tensor.device.type != "cpu" or tensor.ndim <= 1:
        return tensor
    if not is_laid_out(tensor):
        return tensor
    result: Tensor = ToBatchFirst.apply(tensor)
    return result


class GradientBatchFirst(torch.autograd.Function):
    """A tensor as it is; its gradient is turned into torch's own order by the native library."""

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:  # noqa: ARG004 - autograd's signature
        """`tensor` itself."""
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # noqa: ARG004
        """The gradient in torch's own order."""
        return to_batch_first(gradient)
