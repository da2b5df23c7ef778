"""A small ResNet of basic blocks for images of 32x32: three stages of three, 270,896 weights for 10 classes.

ResNet20 of He et al. 2016, section 4.2, with torchvision's blocks, widths 16, 32 and 64, and two changes: the stem has
stride 2, so that it trains in seconds on a CPU, and shortcuts that change the shape are projections.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torchvision.models.resnet import BasicBlock

from n2nsurgery.models.blocks.cifar_resnet import small_resnet


@dataclass(frozen=True, kw_only=True)
class CifarBasicResNet:
    """The network has no hyper-parameters besides the number of classes."""

    num_classes: int = 10

    @property
    def input_shape(self) -> tuple[int, ...]:
        """An RGB image of 32x32."""
        return (3, 32, 32)

    def build(self) -> nn.Sequential:
        """The network, with torch's default initialization."""
        return small_resnet(BasicBlock, (16, 32, 64), self.num_classes, stem_stride=2)


MEMBER = CifarBasicResNet
