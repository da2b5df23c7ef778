"""Classification layers alone on MNIST: 784-x-10, or a single padded junction 1024-16.

Source: "Characterizing sparse connectivity patterns in neural networks", section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from n2nsurgery.models.blocks.classification_layers import classification_layers, initialize, padded_outputs

_PIXELS = 784


class MnistJunctions(nn.Module):
    """Junctions of `widths`; pixels beyond the 784 of an image are zeros."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.extra = widths[0] - _PIXELS
        self.layers = classification_layers(widths)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (N, 1, 28, 28); (N, widths[-1]) comes back."""
        pixels = x.flatten(1)
        out: Tensor = self.layers(functional.pad(pixels, (0, self.extra)) if self.extra else pixels)
        return out


@dataclass(frozen=True, kw_only=True)
class MnistCl:
    """`hidden`: widths between input and output. `padded`: 1024 inputs and a power of two of outputs."""

    hidden: tuple[int, ...] = (112,)
    num_classes: int = 10
    padded: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """A grey image of 28x28."""
        return (1, 28, 28)

    def build(self) -> MnistJunctions:
        """The junctions, He-normal."""
        ends = (
            (padded_outputs(_PIXELS), padded_outputs(self.num_classes)) if self.padded else (_PIXELS, self.num_classes)
        )
        return MnistJunctions((ends[0], *self.hidden, ends[1]))


MEMBER = MnistCl
