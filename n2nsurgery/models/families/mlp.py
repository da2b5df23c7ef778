"""Multi-layer perceptron with ReLU between its linear layers: 3072-512-256-128-64 by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from n2nsurgery.models.blocks.classification_layers import classification_layers


class Perceptron(nn.Module):
    """Linear layers of `widths` (input first, output last) with ReLU between them; the output is not activated."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = classification_layers(widths)

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (N, widths[0]), or images of as many values; (N, widths[-1]) comes back."""
        out: Tensor = self.layers(x.flatten(1))
        return out


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """`widths` are those of the input and the hidden layers, `num_classes` that of the output."""

    widths: tuple[int, ...] = (3072, 512, 256, 128)
    num_classes: int = 64

    @property
    def input_shape(self) -> tuple[int, ...]:
        """A vector of the first width."""
        return (self.widths[0],)

    def build(self) -> Perceptron:
        """The perceptron, with torch's default initialization."""
        return Perceptron((*self.widths, self.num_classes))


MEMBER = Mlp
