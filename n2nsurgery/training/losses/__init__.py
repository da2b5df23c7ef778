"""Losses: what training makes small; one file each."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from n2nsurgery import registries
from n2nsurgery.core.registry import Registry


class Loss(Protocol):
    """A loss with its parameters as fields; a frozen dataclass. Any callable of the same form can take its place."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch as a scalar with a gradient.

        `outputs`: float32, (N, ...). A batch may be split: the trainer weights each part by its samples. A loss whose
        mean leaves labels out has a method `counted(targets)`, which gives the part of the labels that is in it as a
        tensor of one number; a batch then weighs its samples times that.
        """
        ...


LOSSES: Registry[type[Loss]] = registries.LOSSES
