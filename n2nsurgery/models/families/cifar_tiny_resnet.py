"""A small bottleneck ResNet for images of 32x32: three stages of three blocks, 78,320 weights for 10 classes.

The blocks are torchvision's (He et al. 2016, with the stride in the 3x3 convolution), their widths 8, 16 and 32 with
four times as many channels between them; the stem has stride 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torchvision.models.resnet import Bottleneck

from n2nsurgery.models.blocks.cifar_resnet import small_resnet


@dataclass(frozen=True, kw_only=True)
class CifarTinyResNet:
    """The network has no hyper-parameters besides the number of classes."""

    num_classes: int = 10

    @property
    def input_shape(self) -> tuple[int, ...]:
        """An RGB image of 32x32."""
        return (3, 32, 32)

    def build(self) -> nn.Sequential:
        """The network, with torch's default initialization."""
        return small_resnet(Bottleneck, (8, 16, 32), self.num_classes)


MEMBER = CifarTinyResNet
