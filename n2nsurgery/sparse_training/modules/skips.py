"""Twins of grafted skips: the sparse convolution between layers, and alignment which keeps the layout."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from n2nsurgery.skips.alignment import align, fitted
from n2nsurgery.skips.kinds.n2n import N2NSkip
from n2nsurgery.skips.kinds.residual import ResSkip
from n2nsurgery.skips.spec import Alignment
from n2nsurgery.sparse_training.functions.convolution import conv, linear
from n2nsurgery.sparse_training.functions.geometry import Geometry
from n2nsurgery.sparse_training.functions.layout import is_laid_out
from n2nsurgery.sparse_training.functions.pattern import SparsePattern
from n2nsurgery.sparse_training.functions.pools import Window, average_pool, walking_spans
from n2nsurgery.sparse_training.modules.laid_out import laid_out_twin, sharing
from n2nsurgery.sparse_training.modules.layers import SparseLayer


def aligned(tensor: Tensor, alignment: Alignment) -> Tensor:
    """What `align` returns; average pooling keeps the layout where `tensor` lies in it."""
    pooled = bool(alignment.factor) and alignment.pooling == "average"
    if not pooled or alignment.permute_in or alignment.vector or not is_laid_out(tensor):
        return align(tensor, alignment)
    factor = alignment.factor
    window = Window(kernel=factor, stride=factor, pad=(0,) * len(factor), dilation=(1,) * len(factor))
    spans = [walking_spans(size, window, axis, count_padding=False) for axis, size in enumerate(tensor.shape[2:])]
    return align(average_pool(tensor, spans), dataclasses.replace(alignment, factor=()))


class SparseN2NSkip(SparseLayer):
    """z + g(norm(conv(align(a)))) of an N2NSkip, computed from its kept weights."""

    def __init__(self, original: N2NSkip, pattern: SparsePattern, values: nn.Parameter) -> None:
        super().__init__(pattern, values, None)
        self.alignment = original.alignment
        self.norm = original.norm if original.norm is None else (laid_out_twin(original.norm) or original.norm)
        self.inner = original.inner

    def forward(self, z: Tensor, a: Tensor) -> Tensor:
        """`z` and `a` batch first; the result has the shape and dtype of `z`."""
        kernel = self.pattern.shape[2:]
        branch = aligned(a, fitted(self.alignment, a, z, channels_last=not kernel))
        if kernel:
            # An even kernel padded by half its size would yield one position too many, at the end.
            before = tuple(size // 2 for size in kernel)
            after = tuple((size - 1) // 2 for size in kernel)
            ones = (1,) * len(kernel)
            walk = Geometry(stride=ones, before=before, after=after, dilation=ones)
            branch = conv(branch, self.values, None, self.pattern, walk, self.full_gradient)
        else:
            branch = linear(branch, self.values, None, self.pattern, self.full_gradient)
        if self.norm is not None:
            branch = self.norm(branch) if kernel else self.norm(branch.movedim(-1, 1)).movedim(1, -1)
        if self.inner is not None:
            branch = self.inner(branch)
        return z + branch.to(z.dtype)


class LaidOutResSkip(ResSkip):
    """z + align(a) of a ResSkip."""

    def forward(self, z: Tensor, a: Tensor) -> Tensor:
        """`z` and `a` batch first; the result has the shape and dtype of `z`."""
        plain = ResSkip(self.channels, channel_dim=self.channel_dim, alignment=Alignment())
        alignment = fitted(self.alignment, a, z, channels_last=self.channel_dim == -1)
        result: Tensor = plain(z, aligned(a, alignment))
        return result


def skip_twin(original: N2NSkip, pattern: SparsePattern, values: nn.Parameter) -> SparseN2NSkip:
    """The twin of an N2NSkip, in the mode of the original."""
    return SparseN2NSkip(original, pattern, values).train(original.training)


def laid_out_skip(original: ResSkip) -> LaidOutResSkip:
    """The twin of a ResSkip."""
    return sharing(LaidOutResSkip, original)
