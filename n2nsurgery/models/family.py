"""What a built-in model family offers, and the registry that finds the families.

A family is a file in `families/` whose `MEMBER` is a frozen dataclass satisfying `Family`: its fields are the hyper-
parameters, their defaults are the model of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from n2nsurgery import registries
from n2nsurgery.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn


class Family(Protocol):
    """A model with its hyper-parameters as fields; `num_classes` is the width of the output."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def num_classes(self) -> int:
        """Width of the output."""
        ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch dimension."""
        ...

    def build(self) -> nn.Module:
        """The model, initialized from torch's global generator."""
        ...


FAMILIES: Registry[type[Family]] = registries.FAMILIES
