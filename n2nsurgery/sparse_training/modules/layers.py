"""Layers whose only parameters are the kept values (and a bias): sparse twins of nn.Conv1d-3d and nn.Linear.

`values` has one element for each kept weight, in flat order; optimizers, gradients and their norms see nothing else.
In a state_dict a layer appears as the dense one it stands for: `weight` with zeros, and `bias`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.kept_values import KeptValues
from n2nsurgery.sparse_training.functions.convolution import conv, linear
from n2nsurgery.sparse_training.functions.geometry import Geometry
from n2nsurgery.sparse_training.functions.pattern import SparsePattern


class SparseLayer(KeptValues):
    """What the sparse layers share: the pattern and the values."""

    pattern: SparsePattern

    def __init__(self, pattern: SparsePattern, values: nn.Parameter, bias: nn.Parameter | None) -> None:
        """Take over `values` and `bias`; raises UsageError where the values are not as many as the pattern keeps."""
        super().__init__()
        if values.shape != (pattern.kept,):
            raise UsageError(f"{tuple(values.shape)} values do not fit a pattern that keeps {pattern.kept:,}")
        self.pattern = pattern
        self.values = values
        self.register_parameter("bias", bias)

    @property
    def places(self) -> Tensor:
        """Of the pattern."""
        return self.pattern.flat

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of the pattern."""
        return self.pattern.shape

    def replace_places(self, places: Tensor, values: Tensor | None = None) -> None:
        """See `replace_pattern`."""
        self.replace_pattern(SparsePattern(places, self.pattern.shape, groups=self.pattern.groups), values)

    @torch.no_grad()
    def replace_pattern(self, pattern: SparsePattern, values: Tensor | None = None) -> None:
        """Keep other weights from now on; takes a time of O(kept weights).

        Weights that stay keep their value unless `values` says otherwise, new ones are zero. `self.values` stays the
        same object; its gradient is dropped. Optimizer state is the caller's: `carried(state, former)` moves it.
        """
        fresh = pattern.carried(self.values, self.pattern) if values is None else values
        if pattern.shape != self.pattern.shape or pattern.groups != self.pattern.groups:
            raise UsageError(f"a pattern of shape {pattern.shape} does not fit a layer of shape {self.pattern.shape}")
        if fresh.shape != (pattern.kept,):
            raise UsageError(f"{tuple(fresh.shape)} values do not fit a pattern that keeps {pattern.kept:,}")
        self.pattern = pattern
        self.values.grad = None
        self.values.data = fresh.detach().to(self.values.dtype).clone()

    def extra_repr(self) -> str:
        """The pattern."""
        return repr(self.pattern)


class SparseConv(SparseLayer):
    """A sparse nn.Conv1d, nn.Conv2d or nn.Conv3d."""

    def __init__(
        self, pattern: SparsePattern, values: nn.Parameter, bias: nn.Parameter | None, geometry: Geometry
    ) -> None:
        super().__init__(pattern, values, bias)
        self.geometry = geometry

    def forward(self, x: Tensor, *, relu: bool = False) -> Tensor:
        """`x`: (N, C, *spatial) or (C, *spatial); the result lies in the layout, with `relu` behind a ReLU."""
        if x.ndim == len(self.pattern.shape) - 1:
            return self.forward(x[None], relu=relu)[0]
        return conv(x, self.values, self.bias, self.pattern, self.geometry, self.full_gradient, relu=relu)


class SparseLinear(SparseLayer):
    """A sparse nn.Linear."""

    def forward(self, x: Tensor, *, relu: bool = False) -> Tensor:
        """`x`: (N, *tokens, in) or (in,); the result has the batch innermost in memory, with `relu` behind a ReLU."""
        if x.ndim == 1:
            return self.forward(x[None], relu=relu)[0]
        return linear(x, self.values, self.bias, self.pattern, self.full_gradient, relu=relu)


def conv_refusal(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> str | None:
    """Why this convolution stays dense, or None."""
    return None if layer.padding_mode == "zeros" else f"padding '{layer.padding_mode}' is not served"


def geometry_of(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Geometry:
    """How this convolution walks."""
    if layer.padding == "same":  # torch puts the odd zero behind
        total = [dilation * (size - 1) for dilation, size in zip(layer.dilation, layer.kernel_size, strict=True)]
        before = tuple(zeros // 2 for zeros in total)
        after = tuple(zeros - zeros // 2 for zeros in total)
    else:
        rank = len(layer.kernel_size)
        before = after = (0,) * rank if layer.padding == "valid" else tuple(int(size) for size in layer.padding)
    return Geometry(stride=tuple(layer.stride), before=before, after=after, dilation=tuple(layer.dilation))
