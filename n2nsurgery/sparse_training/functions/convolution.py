"""Sparse convolution and sparse linear map as autograd functions of the input and of the kept values.

A linear map is a convolution over tokens with a kernel of one. The gradient of a value is computed for kept weights
alone; the same library call gives the same bits for any number of threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from n2nsurgery.core.errors import UsageError
from n2nsurgery.sparse_training.functions import layout, native
from n2nsurgery.sparse_training.functions.pattern import SparsePattern

_CPU = "cpu"


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


def conv(x: Tensor, values: Tensor, bias: Tensor | None, pattern: SparsePattern, geometry: Geometry) -> Tensor:
    """The convolution of `x`, (N, C, *spatial), with the kept `values`; the result lies in the layout.

    Raises UsageError for other types, devices and shapes than the pattern's.
    """
    if values.shape != (pattern.kept,):
        raise UsageError(f"{tuple(values.shape)} values do not fit a pattern that keeps {pattern.kept}")
    inputs = pattern.shape[1] * pattern.groups
    if x.ndim != len(pattern.shape) or x.shape[1] != inputs or 0 in x.shape[1:]:
        wanted = ", ".join(["N", str(inputs), *("size" for _ in geometry.stride)])
        raise UsageError(f"the input has shape {tuple(x.shape)}; this sparse layer needs ({wanted})")
    result: Tensor = _Conv.apply(x, values, bias, pattern, geometry)
    return result


def linear(x: Tensor, values: Tensor, bias: Tensor | None, pattern: SparsePattern) -> Tensor:
    """The linear map of `x`, (N, *tokens, in): (N, *tokens, out), both with the batch innermost in memory."""
    if x.ndim < 2 or x.shape[-1] != pattern.shape[1]:  # noqa: PLR2004
        raise UsageError(f"the input has shape {tuple(x.shape)}; this sparse layer needs (N, ..., {pattern.shape[1]})")
    tokens = x.shape[1:-1]
    rows = x.movedim(-1, 1).flatten(2) if tokens else x[:, :, None]
    if 0 in tokens:
        return x.new_zeros((*x.shape[:-1], pattern.shape[0])) + 0 * values.sum()
    result = conv(rows, values, bias, _as_conv(pattern), _POINTWISE)
    return result.reshape(*result.shape[:2], *tokens).movedim(1, -1) if tokens else result[:, :, 0]


_POINTWISE = Geometry(stride=(1,), before=(0,), after=(0,), dilation=(1,))


def _as_conv(pattern: SparsePattern) -> SparsePattern:
    """The same kept weights as a convolution of one tap; made once, kept beside the pattern."""
    twin: SparsePattern | None = pattern.__dict__.get("_conv_twin")
    if twin is None:
        twin = SparsePattern(pattern.flat, (*pattern.shape, 1))
        pattern.__dict__["_conv_twin"] = twin
    return twin


def shape_of(x_shape: Sequence[int], pattern: SparsePattern, geometry: Geometry) -> native.ConvShape:
    """The sizes of one call, as the library reads them."""
    kernel, size = pattern.shape[2:], x_shape[2:]
    return native.ConvShape(
        batch=x_shape[0],
        groups=pattern.groups,
        inputs=x_shape[1],
        outputs=pattern.shape[0],
        input=native.axes(size, 1),
        kernel=native.axes(kernel, 1),
        stride=native.axes(geometry.stride, 1),
        pad=native.axes(geometry.before, 0),
        dilation=native.axes(geometry.dilation, 1),
        output=native.axes(geometry.output(size, kernel), 1),
    )


class _Conv(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type=_CPU, cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(  # noqa: PLR0913, PLR0917 - one argument for each of autograd's inputs
        ctx: Any,  # noqa: ANN401 - autograd's context
        x: Tensor,
        values: Tensor,
        bias: Tensor | None,
        pattern: SparsePattern,
        geometry: Geometry,
    ) -> Tensor:
        for tensor, what in ((x, "the input"), (values, "the layer's values"), (bias, "the bias")):
            if tensor is not None:
                layout.require_served(tensor, what)
        x, values = layout.lay_out(x.detach()), values.detach().contiguous()
        sizes = shape_of(x.shape, pattern, geometry)
        y = layout.empty((x.shape[0], pattern.shape[0], *geometry.output(x.shape[2:], pattern.shape[2:])))
        if x.shape[0]:
            held = None if bias is None else bias.detach().contiguous()
            where = (native.pointer(values), native.pointer(held), native.pointer(x), native.pointer(y))
            native.call("conv_forward", pattern.handle, ctypes.byref(sizes), *where, native.threads())
        ctx.save_for_backward(x, values)
        ctx.pattern, ctx.sizes = pattern, sizes
        return y

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type=_CPU)  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]  # noqa: ANN401
        x, values = ctx.saved_tensors
        dy = layout.lay_out(dy)
        needs_x, needs_values, needs_bias = ctx.needs_input_grad[:3]
        dx = _input_gradient(ctx, x, values, dy) if needs_x else None
        dvalues = _value_gradient(ctx, x, values, dy) if needs_values else None
        dbias = dy.movedim(0, -1).reshape(dy.shape[1], -1).sum(1) if needs_bias else None
        return dx, dvalues, dbias, None, None


def _input_gradient(ctx: Any, x: Tensor, values: Tensor, dy: Tensor) -> Tensor:  # noqa: ANN401
    dx = layout.empty(x.shape)
    if x.shape[0]:
        where = (native.pointer(values), native.pointer(dy), native.pointer(dx))
        native.call("conv_input_gradient", ctx.pattern.handle, ctypes.byref(ctx.sizes), *where, native.threads())
    return dx


def _value_gradient(ctx: Any, x: Tensor, values: Tensor, dy: Tensor) -> Tensor:  # noqa: ANN401
    gradient = torch.zeros_like(values)
    if x.shape[0] and values.numel():
        where = (native.pointer(x), native.pointer(dy), native.pointer(gradient))
        native.call("conv_weight_gradient", ctx.pattern.handle, ctypes.byref(ctx.sizes), *where, native.threads())
    return gradient
