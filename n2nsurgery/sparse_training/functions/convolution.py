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
    *,
    relu: bool = False,
) -> Tensor:
    """The convolution of `x`, (N, C, *spatial), with the kept `values`; the result lies in the layout.

    With `relu` it has the ReLU behind it. `full_gradient`, (entries of the weight,): the backward pass adds the
    gradient of all entries to it. Raises UsageError for other types, devices and shapes than the pattern's.
    """
    _require_values(values, pattern)
    inputs = pattern.shape[1] * pattern.groups
    if x.ndim != len(pattern.shape) or x.shape[1] != inputs or 0 in x.shape[1:]:
        wanted = ", ".join(["N", str(inputs), *("size" for _ in geometry.stride)])
        raise UsageError(f"the input has shape {tuple(x.shape)}; this sparse layer needs ({wanted})")
    result: Tensor = _Conv.apply(x, values, bias, pattern, geometry, full_gradient, relu)
    return result


def linear(  # noqa: PLR0913 - a linear map's parts
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    pattern: SparsePattern,
    full_gradient: Tensor | None = None,
    *,
    relu: bool = False,
) -> Tensor:
    """The linear map of `x`, (N, *tokens, in): (N, *tokens, out), both with the batch innermost in memory.

    `full_gradient` and `relu`: see `conv`.
    """
    if x.ndim < 2 or x.shape[-1] != pattern.shape[1]:  # noqa: PLR2004
        raise UsageError(f"the input has shape {tuple(x.shape)}; this sparse layer needs (N, ..., {pattern.shape[1]})")
    tokens = x.shape[1:-1]
    if 0 in tokens:
        return x.new_zeros((*x.shape[:-1], pattern.shape[0])) + 0 * values.sum()
    if tokens:
        rows = x.movedim(-1, 1).flatten(2)
        result = conv(rows, values, bias, _as_conv(pattern), _POINTWISE, full_gradient, relu=relu)
        return result.reshape(*result.shape[:2], *tokens).movedim(1, -1)
    _require_values(values, pattern)
    single: Tensor = _Conv.apply(x, values, bias, _as_conv(pattern), _POINTWISE, full_gradient, relu)
    return single


def _require_values(values: Tensor, pattern: SparsePattern) -> None:
    if values.shape != (pattern.kept,):
        raise UsageError(f"{tuple(values.shape)} values do not fit a pattern that keeps {pattern.kept}")


_POINTWISE = Geometry(stride=(1,), before=(0,), after=(0,), dilation=(1,))


def _as_conv(pattern: SparsePattern) -> SparsePattern:
    """The same kept weights as a convolution of one tap; made once, kept beside the pattern."""
    twin: SparsePattern | None = pattern.__dict__.get("_conv_twin")
    if twin is None:
        twin = SparsePattern(pattern.flat, (*pattern.shape, 1))
        pattern.__dict__["_conv_twin"] = twin
    return twin


class _Conv(torch.autograd.Function):
    """`x` without spatial axes, (N, C), stands for images of one pixel."""

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
        relu: bool,  # noqa: FBT001
    ) -> Tensor:
        for tensor, what in ((x, "the input"), (values, "the layer's values"), (bias, "the bias")):
            if tensor is not None:
                layout.require_served(tensor, what)
        x, values = layout.lay_out(x.detach()), values.detach().contiguous()
        spatial = x.shape[2:]
        sizes = shape_of(x.shape if spatial else (*x.shape, 1), pattern, geometry)
        y = layout.empty((x.shape[0], pattern.shape[0], *sizes.output[3 - len(spatial) :]))
        held = None if bias is None else bias.detach().contiguous()
        if x.shape[0]:
            where = native.ConvForward(values.data_ptr(), native.address(held), x.data_ptr(), y.data_ptr(), relu)
            native.call("conv_forward", pattern.handle, ctypes.byref(sizes), ctypes.byref(where), native.threads())
        ctx.save_for_backward(x, values, y if relu else None)
        ctx.pattern, ctx.sizes, ctx.geometry, ctx.full_gradient = pattern, sizes, geometry, full_gradient
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, values, y = ctx.saved_tensors
        dy = layout.lay_out(dy)
        passed = None if y is None else layout.empty(dy.shape)
        needs_x, needs_values, needs_bias = ctx.needs_input_grad[:3]
        dx = layout.empty(x.shape) if needs_x else None
        dvalues = torch.zeros_like(values) if needs_values else None
        dbias = dy.new_zeros(dy.shape[1]) if needs_bias else None
        if x.shape[0]:
            given = (values, x, y, dy, passed, dx, dvalues if values.numel() else None, dbias)
            where = ctypes.byref(native.ConvBackward(*map(native.address, given)))
            native.call("conv_backward", ctx.pattern.handle, ctypes.byref(ctx.sizes), where, native.threads())
        if ctx.full_gradient is not None and x.shape[0]:
            before = dy if passed is None else passed
            images = (x, before) if x.ndim > 2 else (x.unsqueeze(2), before.unsqueeze(2))  # noqa: PLR2004
            add_full_gradient(ctx.full_gradient, *images, ctx.pattern, ctx.geometry)
        return dx, dvalues, dbias, None, None, None, None
