"""Model family `cifar-conv-2cl`: convolutions, then 2 classification layers, 4096-512-outputs.

Source: "Characterizing sparse connectivity patterns in neural networks", section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.models.blocks.cifar_conv import CifarConv
from n2nsurgery.models.blocks.classification_layers import padded_outputs

_HIDDEN = (512,)


@dataclass(frozen=True, kw_only=True)
class CifarConv2Cl:
    """`padded`: as many outputs as the next power of two (16 for 10 classes, 128 for 100), as in the paper."""

    num_classes: int = 10
    padded: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """An RGB image of 32x32."""
        return (3, 32, 32)

    def build(self) -> CifarConv:
        """The network, He-normal."""
        return CifarConv((*_HIDDEN, padded_outputs(self.num_classes) if self.padded else self.num_classes))


MEMBER = CifarConv2Cl
