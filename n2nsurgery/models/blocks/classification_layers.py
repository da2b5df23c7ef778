"""Classification layers: the linear junctions behind a network's features, and how many outputs they end in.

Powers of two make whole fan-outs plentiful, so the networks of "Characterizing sparse connectivity patterns in neural
networks" pad their outputs: 16 for 10 classes, 128 for 100. The outputs beyond the classes are labels that never occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def padded_outputs(num_classes: int) -> int:
    """The power of two that is not below `num_classes`."""
    return 1 << (num_classes - 1).bit_length()


def classification_layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of `widths` (features first, outputs last) with ReLU between them; the output is not activated."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def initialize(module: nn.Module) -> None:
    """He-normal weights by fan-in and zero biases for every conv and linear layer, as in the paper's experiments."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
