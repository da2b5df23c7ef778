"""The MNIST network of the pre-defined sparsity paper: two 5x5 convolutions, then junctions 3136-784-10.

Source: "Characterizing sparse connectivity patterns in neural networks", section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from n2nsurgery.models.blocks.classification_layers import classification_layers, initialize


class MnistConv(nn.Module):
    """`features` (N, 1, 28, 28) -> (N, 64, 7, 7), and `classifier` of 3136-784-`num_classes`."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = classification_layers((3136, 784, num_classes))
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (N, 1, 28, 28); logits (N, num_classes) come back."""
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


@dataclass(frozen=True, kw_only=True)
class MnistConv2Cl:
    """50,000 convolution weights and 2.47 M in the junctions."""

    num_classes: int = 10

    @property
    def input_shape(self) -> tuple[int, ...]:
        """A grey image of 28x28."""
        return (1, 28, 28)

    def build(self) -> MnistConv:
        """The network, He-normal."""
        return MnistConv(self.num_classes)


MEMBER = MnistConv2Cl
