"""Plain network for images of 32x32: 17 convolutions of 3x3 without a shortcut, 512,560 weights for 10 classes.

16 channels at stride 2, max pool, twice 32, max pool, 14 times 64 at 4x4, global average pool, one linear layer; every
convolution without bias, followed by BatchNorm and ReLU. Deep and narrow, it is where sparse networks lose their
connectivity and where skips can be seen to restore it in minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

_STEM = 16
_STAGES = ((32, 2), (64, 14))


@dataclass(frozen=True, kw_only=True)
class CifarPlain17:
    """The network has no hyper-parameters besides the number of classes."""

    num_classes: int = 10

    @property
    def input_shape(self) -> tuple[int, ...]:
        """An RGB image of 32x32."""
        return (3, 32, 32)

    def build(self) -> nn.Sequential:
        """The network, with torch's default initialization."""
        layers = _convolution(3, _STEM, stride=2)
        channels = _STEM
        for width, depth in _STAGES:
            layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers += _convolution(channels, width)
                channels = width
        return nn.Sequential(
            OrderedDict(
                features=nn.Sequential(*layers),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                classifier=nn.Linear(channels, self.num_classes),
            )
        )


def _convolution(channels: int, width: int, *, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]


MEMBER = CifarPlain17
