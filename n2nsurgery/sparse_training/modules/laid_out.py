"""Twins of torch's own modules that keep the layout: BatchNorm and pooling. Names and state are those of the original.

A twin shares parameters and buffers with its original. Where a call is not served, it is torch's.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AvgPoolNd, _MaxPoolNd

from n2nsurgery.core.errors import UsageError
from n2nsurgery.sparse_training.functions.norm import NormSettings, normalize
from n2nsurgery.sparse_training.functions.pools import (
    MOST_TAPS,
    Spans,
    Window,
    adaptive_spans,
    average_pool,
    max_pool,
    walking_spans,
)

_Twin = TypeVar("_Twin", bound=nn.Module)


def sharing(kind: type[_Twin], original: nn.Module) -> _Twin:
    """A module of `kind` with the attributes, hooks, parameters and buffers of `original`, as the same tensors."""
    twin = kind.__new__(kind)
    twin.__dict__.update(original.__dict__)
    for name in ("_parameters", "_buffers", "_modules"):
        twin.__dict__[name] = dict(original.__dict__[name])
    return twin


def _each(value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


class LaidOutBatchNorm(_BatchNorm):
    """A BatchNorm over activations in the layout, with the sum and the ReLU behind it where a caller asks for them."""

    def forward(self, x: Tensor, *, relu: bool = False, add: Tensor | None = None) -> Tensor:
        """`x`: (N, C, ...); this call adds `add` to the result, and with `relu` has the ReLU behind it, too."""
        if x.ndim < 2 or x.shape[1] != self.num_features:  # noqa: PLR2004
            wanted = f"(N, {self.num_features}, ...)"
            raise UsageError(f"the input has shape {tuple(x.shape)}; this BatchNorm needs {wanted}")
        if x.numel() == 0:
            result = super().forward(x)
            return result if add is None else result + add
        if add is not None and (add.shape != x.shape or add.dtype != torch.float32):
            result = self.forward(x) + add
            return result.relu() if relu else result
        own = self.training or self.running_mean is None or self.running_var is None
        count = x.numel() // self.num_features
        if self.training and count == 1:
            raise UsageError(f"a batch of one value for each channel ({tuple(x.shape)}) has no variance to train on")
        settings = NormSettings(
            epsilon=self.eps,
            relu=relu,
            mean=None if own else self.running_mean,
            variance=None if own else self.running_var,
        )
        y, mean, variance = normalize(x, self.weight, self.bias, settings, add)
        if self.training and self.track_running_stats:
            self._follow(mean, variance, count)
        return y

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        pass

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Running statistics as torch keeps them, with the unbiased variance."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1.0 / float(self.num_batches_tracked) if self.num_batches_tracked is not None else 0.0
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var.dtype), share)


class LaidOutMaxPool(_MaxPoolNd):
    """nn.MaxPool1d-3d over activations in the layout."""

    rank: int

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (N, C, *spatial) or (C, *spatial)."""
        if x.ndim == self.rank + 1:
            return self.forward(x[None])[0]
        window = Window(
            kernel=_each(self.kernel_size, self.rank),
            stride=_each(self.stride, self.rank),
            pad=_each(self.padding, self.rank),
            dilation=_each(self.dilation, self.rank),
            ceil=self.ceil_mode,
        )
        return max_pool(x, window)


class LaidOutAveragePool(_AvgPoolNd):
    """nn.AvgPool1d-3d over activations in the layout."""

    rank: int
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...]
    padding: int | tuple[int, ...]
    ceil_mode: bool
    count_include_pad: bool
    divisor_override: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (N, C, *spatial) or (C, *spatial)."""
        if x.ndim == self.rank + 1:
            return self.forward(x[None])[0]
        window = Window(
            kernel=_each(self.kernel_size, self.rank),
            stride=_each(self.stride, self.rank),
            pad=_each(self.padding, self.rank),
            dilation=(1,) * self.rank,
            ceil=self.ceil_mode,
        )
        spans = [
            walking_spans(size, window, axis, count_padding=self.count_include_pad)
            for axis, size in enumerate(x.shape[2:])
        ]
        if self.divisor_override is not None:
            first = 1 / self.divisor_override
            spans = [
                Spans(begin=s.begin, end=s.end, share=(first if axis == 0 else 1.0,) * len(s.begin))
                for axis, s in enumerate(spans)
            ]
        return average_pool(x, spans)


class LaidOutAdaptiveAveragePool(_AdaptiveAvgPoolNd):
    """nn.AdaptiveAvgPool1d-3d over activations in the layout."""

    rank: int

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (N, C, *spatial) or (C, *spatial)."""
        if x.ndim == self.rank + 1:
            return self.forward(x[None])[0]
        asked = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * self.rank
        places = [size if place is None else place for size, place in zip(x.shape[2:], asked, strict=True)]
        return average_pool(x, [adaptive_spans(size, place) for size, place in zip(x.shape[2:], places, strict=True)])


_POOLS: dict[type[nn.Module], tuple[type[nn.Module], int]] = {
    nn.MaxPool1d: (LaidOutMaxPool, 1),
    nn.MaxPool2d: (LaidOutMaxPool, 2),
    nn.MaxPool3d: (LaidOutMaxPool, 3),
    nn.AvgPool1d: (LaidOutAveragePool, 1),
    nn.AvgPool2d: (LaidOutAveragePool, 2),
    nn.AvgPool3d: (LaidOutAveragePool, 3),
    nn.AdaptiveAvgPool1d: (LaidOutAdaptiveAveragePool, 1),
    nn.AdaptiveAvgPool2d: (LaidOutAdaptiveAveragePool, 2),
    nn.AdaptiveAvgPool3d: (LaidOutAdaptiveAveragePool, 3),
}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def laid_out_twin(module: Any) -> nn.Module | None:  # noqa: ANN401 - fields of several of torch's classes
    """The twin of a BatchNorm or of a pooling, None for any other module and for settings that are not served."""
    if type(module) in _NORMS:
        return sharing(LaidOutBatchNorm, module)
    if type(module) not in _POOLS:
        return None
    kind, rank = _POOLS[type(module)]
    if kind is LaidOutMaxPool and (module.return_indices or _taps(module.kernel_size, rank) > MOST_TAPS):
        return None
    twin = sharing(kind, module)
    twin.rank = rank  # type: ignore[assignment]
    return twin


def _taps(kernel: int | tuple[int, ...], rank: int) -> int:
    return math.prod(_each(kernel, rank))
