"""The ResSkip connection: a parameter-free skip of the activation itself.

    a^{l+k} = g( z^{l+k} + a^l )                                  (Eq. 1 of the N2NSkip paper)

The paper states it for equal shapes. Where the channels differ, channel i still reaches channel i: a source with
fewer channels is padded with zeros (ResNet's option A: He et al. 2016, section 3.3), one with more is cut to the
target's number. Averaging groups of channels instead would mix unrelated neurons and shrink the branch.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.graph.layers.layer_graph import LayerPair
from n2nsurgery.skips.alignment import added, align, fitted, plan_alignment
from n2nsurgery.skips.kind import SkipOptions
from n2nsurgery.skips.spec import Alignment, SkipSpec


class ResSkip(nn.Module):
    """z + align(a), with the channels padded or cut to `channels` along `channel_dim` (1 or -1)."""

    def __init__(self, channels: int, *, channel_dim: int, alignment: Alignment) -> None:
        super().__init__()
        self.channels = channels
        self.channel_dim = channel_dim
        self.alignment = alignment

    def forward(self, z: Tensor, a: Tensor) -> Tensor:
        """`z` and `a` batch first; the result has the shape and dtype of `z`."""
        alignment = fitted(self.alignment, a, z, channels_last=self.channel_dim == -1)
        branch = _fit_channels(align(a, alignment), self.channels, self.channel_dim)
        return added(z, branch)

    def extra_repr(self) -> str:
        """Channels and alignment for `print(module)`."""
        return f"channels={self.channels}, {self.alignment}"


@dataclass(frozen=True, kw_only=True)
class Residual:
    """The skip kind of Eq. 1."""

    def accepts(self, pair: LayerPair, options: SkipOptions) -> str | None:
        """Why no ResSkip can run at `pair`, or None."""
        aligned = plan_alignment(pair.source_signal, pair.target_signal, options.pooling)
        return aligned if isinstance(aligned, str) else None

    def weight_shape(self, pair: LayerPair, kernel: tuple[int, ...]) -> None:  # noqa: ARG002 - one interface
        """None: a residual skip has no weights."""
        return

    def build(self, spec: SkipSpec) -> ResSkip:
        """The module for `spec`."""
        if spec.weight_shape is not None:
            raise InvalidFileError(f"skip '{spec.name}' is residual and has no weights, yet names {spec.weight_shape}")
        target = spec.pair.target_signal
        dim = 1 if target.layout == "channels_first" else -1
        return ResSkip(target.channels, channel_dim=dim, alignment=spec.align)


def _fit_channels(a: Tensor, channels: int, dim: int) -> Tensor:
    have = a.shape[dim]
    if have >= channels:
        return a.narrow(dim, 0, channels) if have > channels else a
    # F.pad counts from the last dimension, two entries (before, after) each.
    behind = a.ndim - 1 - dim if dim > 0 else 0
    return F.pad(a, [0, 0] * behind + [0, channels - have])


MEMBER = Residual
