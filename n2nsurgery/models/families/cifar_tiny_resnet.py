"""A small bottleneck ResNet for images of 32x32: three stages of three blocks, 78,320 weights for 10 classes.

The blocks are torchvision's (He et al. 2016, with the stride in the 3x3 convolution), their widths 8, 16 and 32 with
four times as many channels between them; the stem is a 3x3 convolution of stride 1. What holds of ResNet50 with
identity shortcuts can be tried on it in minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn
from torchvision.models.resnet import Bottleneck

_STEM = 16
_WIDTHS = (8, 16, 32)
_BLOCKS = 3


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
        stem = nn.Conv2d(3, _STEM, kernel_size=3, padding=1, bias=False)
        parts: OrderedDict[str, nn.Module] = OrderedDict(conv=stem, norm=nn.BatchNorm2d(_STEM), relu=nn.ReLU())
        channels = _STEM
        for number, width in enumerate(_WIDTHS, start=1):
            parts[f"stage{number}"] = _stage(channels, width, stride=1 if number == 1 else 2)
            channels = width * Bottleneck.expansion
        parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        parts["classifier"] = nn.Linear(channels, self.num_classes)
        return nn.Sequential(parts)


def _stage(channels: int, width: int, *, stride: int) -> nn.Sequential:
    """`_BLOCKS` blocks, of which the first changes the number of channels and, with `stride` 2, the size."""
    out = width * Bottleneck.expansion
    shortcut = nn.Sequential(nn.Conv2d(channels, out, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(out))
    first = Bottleneck(channels, width, stride, shortcut)
    return nn.Sequential(first, *(Bottleneck(out, width) for _ in range(_BLOCKS - 1)))


MEMBER = CifarTinyResNet
