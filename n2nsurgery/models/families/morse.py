"""The network for Morse symbols of the pre-defined sparsity paper: junctions 64-1024-64.

Source: "Characterizing sparse connectivity patterns in neural networks", section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from n2nsurgery.models.blocks.classification_layers import classification_layers, initialize


@dataclass(frozen=True, kw_only=True)
class Morse:
    """`hidden`: the width between the 64 samples of a frame and the classes."""

    hidden: int = 1024
    num_classes: int = 64

    @property
    def input_shape(self) -> tuple[int, ...]:
        """A frame of 64 samples."""
        return (64,)

    def build(self) -> nn.Sequential:
        """The junctions, He-normal."""
        layers = classification_layers((64, self.hidden, self.num_classes))
        initialize(layers)
        return layers


MEMBER = Morse
