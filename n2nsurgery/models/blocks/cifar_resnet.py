"""Small ResNets for images of 32x32: three stages of three of torchvision's blocks behind a 3x3 stem of 16 channels.

The second and the third stage halve the maps, and a block that changes the shape has a 1x1 convolution with BatchNorm
for its shortcut (He et al. 2016, option B); global average pool and one linear layer follow. What holds of large
networks with identity shortcuts can be tried on them in minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

_STEM = 16
_BLOCKS = 3


def small_resnet(
    block: type[BasicBlock | Bottleneck], widths: Sequence[int], num_classes: int, *, stem_stride: int = 1
) -> nn.Sequential:
    """The network with a stage of `block` for each of the `widths`, with torch's default initialization."""
    stem = nn.Conv2d(3, _STEM, kernel_size=3, stride=stem_stride, padding=1, bias=False)
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=stem, norm=nn.BatchNorm2d(_STEM), relu=nn.ReLU())
    channels = _STEM
    for number, width in enumerate(widths, start=1):
        parts[f"stage{number}"] = _stage(block, channels, width, stride=1 if number == 1 else 2)
        channels = width * block.expansion
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    parts["classifier"] = nn.Linear(channels, num_classes)
    return nn.Sequential(parts)


def _stage(block: type[BasicBlock | Bottleneck], channels: int, width: int, *, stride: int) -> nn.Sequential:
    """`_BLOCKS` blocks, of which the first may change the number of channels and, with `stride` 2, the size."""
    out = width * block.expansion
    shortcut = None
    if stride > 1 or channels != out:
        projection = nn.Conv2d(channels, out, kernel_size=1, stride=stride, bias=False)
        shortcut = nn.Sequential(projection, nn.BatchNorm2d(out))
    first = block(channels, width, stride, shortcut)
    return nn.Sequential(first, *(block(out, width) for _ in range(_BLOCKS - 1)))
