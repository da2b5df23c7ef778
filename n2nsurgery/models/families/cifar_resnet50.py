"""ResNet50 for images of 32x32: a 3x3 stem of stride 1 and no stem pooling; about 23.5 M weights.

He et al. (2016) with bottleneck blocks [3, 4, 6, 3]. Everything behind the stem is torchvision's `resnet50`, so that
the names of parameters are the same; the stem would otherwise shrink a CIFAR image to 8x8 before the first block.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet


@dataclass(frozen=True, kw_only=True)
class CifarResNet50:
    """The network has no hyper-parameters besides the number of classes."""

    num_classes: int = 10

    @property
    def input_shape(self) -> tuple[int, ...]:
        """An RGB image of 32x32."""
        return (3, 32, 32)

    def build(self) -> nn.Module:
        """The network, with torchvision's ResNet initialization of convolutions (Kaiming normal, fan out)."""
        network: nn.Module = ResNet(Bottleneck, [3, 4, 6, 3], num_classes=self.num_classes)
        stem = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        network.conv1 = stem
        network.maxpool = nn.Identity()
        return network


MEMBER = CifarResNet50
