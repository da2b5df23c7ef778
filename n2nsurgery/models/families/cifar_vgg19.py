"""VGG19 for images of 32x32: 16 convolutions of 3x3, 5 max pools and one linear layer; about 20 M weights.

The usual CIFAR form of Simonyan and Zisserman (2015), configuration E, as in Deep Expander Networks (Prabhu et al.
2018) but for the single linear layer. torchvision's `vgg19` is the ImageNet network with 143.7 M weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


class CifarVgg(nn.Module):
    """`features` (N, 3, 32, 32) -> (N, 512, 1, 1), and a linear `classifier`."""

    def __init__(self, num_classes: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(*_features(batch_norm=batch_norm))
        self.classifier = nn.Linear(_STAGES[-1][0], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """`x`: (N, 3, 32, 32); logits (N, num_classes) come back."""
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


@dataclass(frozen=True, kw_only=True)
class CifarVgg19:
    """`batch_norm` follows every convolution, which then has no bias."""

    num_classes: int = 10
    batch_norm: bool = True

    @property
    def input_shape(self) -> tuple[int, ...]:
        """An RGB image of 32x32."""
        return (3, 32, 32)

    def build(self) -> CifarVgg:
        """The network, with torchvision's VGG initialization of convolutions (Kaiming normal, fan out)."""
        return CifarVgg(self.num_classes, batch_norm=self.batch_norm)


def _features(*, batch_norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in _STAGES:
        for _ in range(depth):
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
            channels = width
        layers.append(nn.MaxPool2d(2))
    return layers


MEMBER = CifarVgg19
