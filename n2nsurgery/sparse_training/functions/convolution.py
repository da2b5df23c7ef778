"""Sparse convolution and sparse linear map as autograd functions of the input and of the kept values.

A linear map is a convolution over tokens with a kernel of one. The gradient of a value is computed for kept weights
alone; the same library call gives the same bits for any number of threads.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from n2nsurgery.core.errors import UsageError
from n2nsurgery.sparse_training.functions import layout, native
from n2nsurgery.sparse_training.functions.full_gradient import add_full_gradient
from n2nsurgery.sparse_training.functions.geometry import Geometry, shape_of
from n2nsurgery.sparse_training.functions.pattern import SparsePattern

_CPU = "cpu"


def conv(  # noqa: PLR0913, PLR0917 - a convolution's parts
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    pattern: SparsePattern,
    geometry: Geometry,
    full_gradient: Tensor | None = None,
) -> Tensor:
    """The convolution of `x`, (N, C, *spatial), with the kept `values`; the result lies in the layout.

    `full_gradient`, (entries of the weight,): the backward pass adds the gradient of all entries to it.
    Raises UsageError for other types, devices and shapes than the pattern's.
    """
    if values.shape != (pattern.kept,):
        raise UsageError(f"{tuple(values.shape)} values do not fit a pattern that keeps {pattern.kept}")
    inputs = pattern.shape[1] * pattern.groups
    if x.ndim != len(pattern.shape) or x.shape[1] != inputs or 0 in x.shape[1:]:
        wanted = ", ".join(["N", str(inputs), *("size" for _ in geometry.stride)])
        raise UsageError(f"the input has shape {tuple(x.shape)}; this sparse layer needs ({wanted})")
    result: Tensor = _Conv.apply(x, values, bias, pattern, geometry, full_gradient)
    return result


def linear(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    pattern: SparsePattern,
    full_gradient: Tensor | None = None,
) -> Tensor:
    """The linear map of `x`, (N, *tokens, in): (N, *tokens, out), both with the batch innermost in memory.

    `full_gradient`: see `conv`.
    """
    if x.ndim < 2 or x.shape[-1] != pattern.shape[1]:  # noqa: PLR2004
        raise UsageError(f"the input has shape {tuple(x.shape)}; this sparse layer needs (N, ..., {pattern.shape[1]})")
    tokens = x.shape[1:-1]
    rows = x.movedim(-1, 1).flatten(2) if tokens else x.unsqueeze(2)
    if 0 in tokens:
        return x.new_zeros((*x.shape[:-1], pattern.shape[0])) + 0 * values.sum()
    result = conv(rows, values, bias, _as_conv(pattern), _POINTWISE, full_gradient)
    return result.reshape(*result.shape[:2], *tokens).movedim(1, -1) if tokens else result.squeeze(2)


_POINTWISE = Geometry(stride=(1,), before=(0,), after=(0,), dilation=(1,))


def _as_conv(pattern: SparsePattern) -> SparsePattern:
    """The same kept weights as a convolution of one tap; made once, kept beside the pattern."""
    twin: SparsePattern | None = pattern.__dict__.get("_conv_twin")
    if twin is None:
        twin = SparsePattern(pattern.flat, (*pattern.shape, 1))
        pattern.__dict__["_conv_twin"] = twin
    return twin


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
        full_gradient: Tensor | None,
    ) -> Tensor:
        for tensor, what in ((x, "the input"), (values, "the layer's values"), (bias, "the bias")):
            if tensor is not None:
                layout.require_served(tensor, what)
        x, values = layout.lay_out(x.detach()), values.detach().contiguous()
        sizes = shape_of(x.shape, pattern, geometry)
        y = layout.empty((x.shape[0], pattern.shape[0], *sizes.output[-len(geometry.stride) :]))
        if x.shape[0]:
            held = None if bias is None else bias.detach().contiguous()
            where = (native.pointer(values), native.pointer(held), native.pointer(x), native.pointer(y))
            native.call("conv_forward", pattern.handle, ctypes.byref(sizes), *where, native.threads())
        ctx.save_for_backward(x, values)
        ctx.pattern, ctx.sizes, ctx.geometry, ctx.full_gradient = pattern, sizes, geometry, full_gradient
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
        if ctx.full_gradient is not None and x.shape[0]:
            add_full_gradient(ctx.full_gradient, x, dy, ctx.pattern, ctx.geometry)
        return dx, dvalues, dbias, None, None, None


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
