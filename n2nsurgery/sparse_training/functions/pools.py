"""Max and average pooling over activations in the layout."""

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

_CPU = "cpu"
MOST_TAPS = 254  # a tap's number is a byte


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window that walks along one to three axes, as torch's pooling modules define it."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool = False

    def output(self, size: Sequence[int]) -> tuple[int, ...]:
        """The spatial size of the result; raises UsageError where it would be empty."""
        result = []
        for i, kernel in enumerate(self.kernel):
            room = size[i] + 2 * self.pad[i] - self.dilation[i] * (kernel - 1) - 1
            places = (room + (self.stride[i] - 1 if self.ceil else 0)) // self.stride[i] + 1
            # The last window begins inside the input or its left padding.
            late = self.ceil and (places - 1) * self.stride[i] >= size[i] + self.pad[i]
            result.append(places - 1 if late else places)
        if min(result) < 1:
            raise UsageError(f"a pooling window of {self.kernel} does not fit into an input of {tuple(size)}")
        return tuple(result)


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Windows [begin, end) along one axis, and what their sum is multiplied with."""

    begin: tuple[int, ...]
    end: tuple[int, ...]
    share: tuple[float, ...]


def max_pool(x: Tensor, window: Window) -> Tensor:
    """The largest of each window of `x`, (N, C, *spatial), in the layout."""
    result: Tensor = _MaxPool.apply(x, window)
    return result


def average_pool(x: Tensor, spans: Sequence[Spans]) -> Tensor:
    """The weighted sum of each window of `x`, (N, C, *spatial), in the layout; `spans` by axis."""
    result: Tensor = _AveragePool.apply(x, tuple(spans))
    return result


def walking_spans(size: int, window: Window, axis: int, *, count_padding: bool) -> Spans:
    """The windows of average pooling along one axis; their shares are 1 / elements, with the padding or without it."""
    begin, end, share = [], [], []
    kernel, stride, pad = window.kernel[axis], window.stride[axis], window.pad[axis]
    places = window.output([size] * len(window.kernel))[axis]
    for place in range(places):
        first = place * stride - pad
        last = min(first + kernel, size + pad)
        begin.append(max(first, 0))
        end.append(min(last, size))
        share.append(1 / ((last - first) if count_padding else (end[-1] - begin[-1])))
    return Spans(begin=tuple(begin), end=tuple(end), share=tuple(share))


def adaptive_spans(size: int, places: int) -> Spans:
    """The windows of adaptive average pooling along one axis."""
    begin = tuple(place * size // places for place in range(places))
    end = tuple(-(-(place + 1) * size // places) for place in range(places))
    return Spans(begin=begin, end=end, share=tuple(1 / (last - first) for first, last in zip(begin, end, strict=True)))


class _MaxPool(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type=_CPU, cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x: Tensor, window: Window) -> Tensor:  # noqa: ANN401 - autograd's context
        layout.require_served(x, "the input")
        x = layout.lay_out(x.detach())
        output = window.output(x.shape[2:])
        y = layout.empty((*x.shape[:2], *output))
        taken = y.new_empty(y.numel(), dtype=torch.uint8)
        shape = native.PoolShape(
            channels=x.shape[1],
            batch=x.shape[0],
            input=native.axes(x.shape[2:], 1),
            output=native.axes(output, 1),
            kernel=native.axes(window.kernel, 1),
            stride=native.axes(window.stride, 1),
            pad=native.axes(window.pad, 0),
            dilation=native.axes(window.dilation, 1),
        )
        where = (native.pointer(x), native.pointer(y), native.pointer(taken))
        native.call("max_pool", ctypes.byref(shape), *where, native.threads())
        ctx.save_for_backward(taken)
        ctx.shape, ctx.size = shape, x.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        (taken,) = ctx.saved_tensors
        dy, dx = layout.lay_out(dy), layout.empty(ctx.size)
        where = (native.pointer(dy), native.pointer(taken), native.pointer(dx))
        native.call("max_pool_gradient", ctypes.byref(ctx.shape), *where, native.threads())
        return dx, None


class _AveragePool(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type=_CPU, cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x: Tensor, spans: tuple[Spans, ...]) -> Tensor:  # noqa: ANN401
        layout.require_served(x, "the input")
        x = layout.lay_out(x.detach())
        y = layout.empty((*x.shape[:2], *(len(span.begin) for span in spans)))
        ctx.spans, ctx.size = spans, x.shape
        _call_average("average_pool", spans, x.shape, x, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        dx = layout.empty(ctx.size)
        _call_average("average_pool_gradient", ctx.spans, ctx.size, layout.lay_out(dy), dx)
        return dx, None


def _call_average(name: str, spans: tuple[Spans, ...], size: Sequence[int], source: Tensor, target: Tensor) -> None:
    whole = Spans(begin=(0,), end=(1,), share=(1.0,))
    three = [whole] * (3 - len(spans)) + list(spans)
    begin = [torch.tensor(span.begin, dtype=torch.int64) for span in three]
    end = [torch.tensor(span.end, dtype=torch.int64) for span in three]
    share = [torch.tensor(span.share, dtype=torch.float32) for span in three]
    windows = native.Windows(
        *((ctypes.c_void_p * 3)(*map(torch.Tensor.data_ptr, tensors)) for tensors in (begin, end, share))
    )
    shape = native.PoolShape(
        channels=size[1],
        batch=size[0],
        input=native.axes(size[2:], 1),
        output=tuple(len(span.begin) for span in three),
        kernel=(1, 1, 1),
        stride=(1, 1, 1),
        pad=(0, 0, 0),
        dilation=(1, 1, 1),
    )
    where = (native.pointer(source), native.pointer(target))
    native.call(name, ctypes.byref(shape), ctypes.byref(windows), *where, native.threads())
