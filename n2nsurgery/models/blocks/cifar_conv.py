"""The CIFAR network of the pre-defined sparsity paper: six 3x3 convolutions and classification layers.

Convolutions of 64, 64, 128, 128, 256, 256 channels, BatchNorm before ReLU, a 2x2 max pool after each pair: 4096
features. Source: "Characterizing sparse connectivity patterns in neural networks", section 2.3.
"""

from __future__ import annotations

from torch import Tensor, nn

from n2nsurgery.models.blocks.classification_layers import classification_layers, initialize

FEATURES = 4096
_WIDTHS = (64, 64, 128, 128, 256, 256)


class CifarConv(nn.Module):
    """`features` (N, 3, 32, 32) -> (N, 256, 4, 4), and `classifier`, linear layers of `widths` from 4096."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for place, width in enumerate(_WIDTHS):
            layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if place % 2 else []
            channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = classification_layers((FEATURES, *widths))
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (N, 3, 32, 32); (N, widths[-1]) comes back."""
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out
