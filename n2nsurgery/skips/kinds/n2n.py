"""The N2NSkip connection: a sparse, learnable convolution from layer l to layer l+k.

    a^{l+k} = g( z^{l+k} + g( conv(a^l) ) )                       (Eq. 2 of the N2NSkip paper)

The module returns the argument of the outer g, z + g(norm?(conv(align(a)))). The convolution projects the channels
and keeps the target's spatial size; where the target holds its channels last, or is a vector, it is a linear map.
`norm` puts a BatchNorm in front of the inner g, which an unnormalised positive branch needs beside an identity
shortcut (an extension of the paper). A target without an activation has g = identity. Where g(0) is not 0, as for
Sigmoid and Softplus, the branch is g(.) - g(0): without weights it adds nothing (an extension of the paper, too).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.graph.layers.layer_graph import LayerPair
from n2nsurgery.skips.alignment import added, align, cast, fitted, plan_alignment
from n2nsurgery.skips.kind import SkipOptions
from n2nsurgery.skips.nonlinearity import branch_activation, rejection
from n2nsurgery.skips.spec import Alignment, SkipSpec

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class N2NSkip(nn.Module):
    """z + g(norm(conv(align(a)))) with the parameter `weight` of shape (out, in, *kernel) or (out, in).

    With zero `weight` the result equals z bit for bit: `inner` is zero at zero.
    """

    def __init__(
        self, weight: Tensor, *, alignment: Alignment, norm: nn.Module | None = None, inner: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.alignment = alignment
        self.norm = norm
        self.inner = inner

    def forward(self, z: Tensor, a: Tensor) -> Tensor:
        """`z` and `a` batch first; the result has the shape and dtype of `z`."""
        alignment = fitted(self.alignment, a, z, channels_last=not _kernel(self.weight))
        branch = _project(cast(align(a, alignment), self.weight), self.weight)
        if self.norm is not None:
            branch = _normalize(branch, self.norm, channels_last=not _kernel(self.weight))
        if self.inner is not None:
            branch = self.inner(branch)
        return added(z, branch)

    def extra_repr(self) -> str:
        """Weight shape and alignment for `print(module)`."""
        return f"weight={tuple(self.weight.shape)}, {self.alignment}"


@dataclass(frozen=True, kw_only=True)
class N2N:
    """The skip kind of Eq. 2."""

    def accepts(self, pair: LayerPair, options: SkipOptions) -> str | None:
        """Why no N2NSkip can run at `pair`, or None."""
        aligned = plan_alignment(pair.source_signal, pair.target_signal, options.pooling)
        if isinstance(aligned, str):
            return aligned
        return _inner_rejection(pair) if options.inner else None

    def weight_shape(self, pair: LayerPair, kernel: tuple[int, ...]) -> tuple[int, ...]:
        """(out, in, *kernel) for a target that is convolved, (out, in) for channels-last targets and vectors."""
        target = pair.target_signal
        channels = (target.channels, pair.source_signal.channels)
        if target.layout == "channels_last" or not target.spatial:
            return channels
        if len(kernel) != len(target.spatial):
            raise UsageError(f"the skip kernel {kernel} needs {len(target.spatial)} sizes, one per spatial dimension")
        return (*channels, *kernel)

    def build(self, spec: SkipSpec) -> N2NSkip:
        """The module for `spec`, with zero weights."""
        shape = self.weight_shape(spec.pair, spec.kernel)
        if shape != spec.weight_shape:
            raise InvalidFileError(f"skip '{spec.name}' has weight shape {spec.weight_shape}; its pair needs {shape}")
        g = spec.pair.nonlinearity if spec.inner else None
        reason = _inner_rejection(spec.pair) if spec.inner else None
        if reason is not None:
            raise InvalidFileError(f"skip '{spec.name}' cannot be built: {reason}")
        rank = len(spec.pair.target_signal.spatial)
        return N2NSkip(
            torch.zeros(shape, dtype=torch.float32, device="cpu"),
            alignment=spec.align,
            norm=_NORMS[rank](shape[0], dtype=torch.float32, device="cpu") if spec.norm else None,
            inner=branch_activation(g) if g is not None else None,
        )


def _inner_rejection(pair: LayerPair) -> str | None:
    g, target = pair.nonlinearity, pair.target_signal
    if g is None:
        return None
    slopes = dict(g.arguments).get("num_parameters", 1)
    if slopes != 1 and (slopes != target.channels or (target.spatial and target.layout == "channels_last")):
        return f"{g.name} has {slopes} slopes, not one and not one for each of the {target.channels} channels"
    return rejection(g)


def _project(a: Tensor, weight: Tensor) -> Tensor:
    kernel = _kernel(weight)
    if not kernel:
        return F.linear(a, weight)
    out: Tensor = _CONVOLUTIONS[len(kernel) - 1](a, weight, padding=[size // 2 for size in kernel])
    if all(size % 2 for size in kernel):
        return out
    # An even kernel padded by half its size yields one position too many, at the end.
    return out[(slice(None), slice(None), *(slice(None if size % 2 else -1) for size in kernel))]


def _kernel(weight: Tensor) -> torch.Size:
    return weight.shape[2:]


def _normalize(branch: Tensor, norm: nn.Module, *, channels_last: bool) -> Tensor:
    out: Tensor = norm(branch.movedim(-1, 1)).movedim(1, -1) if channels_last else norm(branch)
    return out


MEMBER = N2N
