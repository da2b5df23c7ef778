"""Skip kind `channel-mean`: every target channel gets the mean of the source's channels, without any weight.

    z^{l+k} + mean_c a^l_c

Sizes that differ are aligned as for the built-in kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from n2nsurgery.graph.layers.layer_graph import LayerPair
from n2nsurgery.skips.alignment import align, plan_alignment
from n2nsurgery.skips.kind import SkipOptions
from n2nsurgery.skips.spec import Alignment, SkipSpec


class ChannelMeanSkip(nn.Module):
    """z + mean(align(a)) over `channel_dim` (1 or -1)."""

    def __init__(self, *, channel_dim: int, alignment: Alignment) -> None:
        super().__init__()
        self.channel_dim = channel_dim
        self.alignment = alignment

    def forward(self, z: Tensor, a: Tensor) -> Tensor:
        """`z` and `a` batch first; the result has the shape and dtype of `z`."""
        branch = align(a, self.alignment).mean(self.channel_dim, keepdim=True)
        return z + branch.to(z.dtype)


@dataclass(frozen=True, kw_only=True)
class ChannelMean:
    """The skip kind; it has no weights, so a skip ratio is left out."""

    def accepts(self, pair: LayerPair, options: SkipOptions) -> str | None:
        """Why the source cannot be aligned to the target of `pair`, or None where it can."""
        aligned = plan_alignment(pair.source_signal, pair.target_signal, options.pooling)
        return aligned if isinstance(aligned, str) else None

    def weight_shape(self, pair: LayerPair, kernel: tuple[int, ...]) -> None:
        """None: there are no weights."""

    def build(self, spec: SkipSpec) -> ChannelMeanSkip:
        """The module for `spec`."""
        last = spec.pair.target_signal.layout == "channels_last"
        return ChannelMeanSkip(channel_dim=-1 if last else 1, alignment=spec.align)
