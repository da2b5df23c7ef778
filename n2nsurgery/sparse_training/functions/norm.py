"""BatchNorm, optionally with a sum and the ReLU behind it, over activations in the layout.

    y = relu(weight * (x - mean) / sqrt(variance + epsilon) + bias + residual)    Ioffe and Szegedy 2015, Algorithm 1

In torch's own kernel such a tensor takes eight times as long, and comes out in another layout.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from n2nsurgery.sparse_training.functions import layout, native

_CPU = "cpu"


@dataclass(frozen=True, kw_only=True)
class NormSettings:
    """`mean` and `variance` of the channels, or None: then they are those of the batch."""

    epsilon: float
    relu: bool
    mean: Tensor | None = None
    variance: Tensor | None = None


def normalize(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, settings: NormSettings, residual: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The result in the layout, and the batch's mean and (biased) variance, which carry no gradient.

    `x` is (N, C, ...) and not empty; weight and bias have one element for each channel; `residual` has the shape of x.
    """
    result: tuple[Tensor, Tensor, Tensor] = _Norm.apply(x, weight, bias, residual, settings)
    return result


class _Norm(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type=_CPU, cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(  # noqa: PLR0913, PLR0917 - one argument for each of autograd's inputs
        ctx: Any,  # noqa: ANN401 - autograd's context
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        residual: Tensor | None,
        settings: NormSettings,
    ) -> tuple[Tensor, Tensor, Tensor]:
        given = ((x, "the input"), (weight, "the scale"), (bias, "the shift"), (residual, "what is added"))
        for tensor, what in given:
            if tensor is not None:
                layout.require_served(tensor, what)
        x = layout.lay_out(x.detach())
        y, channels = layout.empty(x.shape), x.shape[1]
        training = settings.mean is None or settings.variance is None
        mean = x.new_empty(channels) if settings.mean is None else settings.mean.detach().float().contiguous()
        variance = x.new_empty(channels) if training else settings.variance.detach().float().contiguous()  # type: ignore[union-attr]
        residual = None if residual is None else layout.lay_out(residual.detach())
        inverse, scale, shift = x.new_empty((3, channels))
        shape = native.NormShape(channels=channels, count=x.numel() // channels, relu=settings.relu)
        where = {"x": x, "residual": residual, "y": y, "weight": weight, "bias": bias, "mean": mean}
        where |= {"variance": variance, "inverse": inverse, "scale": scale, "shift": shift}
        norm = native.NormForward(
            **{name: native.address(tensor) for name, tensor in where.items()},
            epsilon=settings.epsilon,
            training=training,
        )
        native.call("norm_forward", ctypes.byref(shape), ctypes.byref(norm), native.threads())
        result = y if settings.relu and residual is not None else None
        ctx.save_for_backward(x, result, weight, mean, inverse, scale, shift)
        ctx.shape, ctx.training = shape, training
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, y, weight, mean, inverse, scale, shift = ctx.saved_tensors
        dy = layout.lay_out(dy)
        dx, passed = layout.empty(x.shape), dy if y is None else layout.empty(x.shape)
        dweight, dbias = torch.empty_like(mean), torch.empty_like(mean)
        where = {"x": x, "y": y, "dy": dy, "passed": passed, "dx": dx, "weight": weight, "mean": mean}
        where |= {"inverse": inverse, "scale": scale, "shift": shift, "dweight": dweight, "dbias": dbias}
        norm = native.NormBackward(
            **{name: native.address(tensor) for name, tensor in where.items()}, training=ctx.training
        )
        native.call("norm_backward", ctypes.byref(ctx.shape), ctypes.byref(norm), native.threads())
        _, needs_weight, needs_bias, needs_residual = ctx.needs_input_grad[:4]
        return (
            dx,
            dweight if needs_weight else None,
            dbias if needs_bias else None,
            passed if needs_residual else None,
            None,
        )
