"""ModelRequest: which model is wanted, as far as that can be said without looking at the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from n2nsurgery.core.errors import UsageError
from n2nsurgery.models.weights_config import WeightsConfig


@dataclass(frozen=True, kw_only=True)
class ModelRequest(WeightsConfig):
    """A model by `name`, as `n2nsurgery models` lists it, or `timm:NAME`, or `package.module:factory`.

    The weights it starts from are said as in a WeightsConfig. `num_classes` and `input_size` (a number for height and
    width, or the shape of one sample): None for those of the data. `options`: further arguments of the builder. Raises
    UsageError for values out of range.
    """

    name: str
    num_classes: int | None = None
    input_size: int | tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no model can be."""
        super().__post_init__()
        if self.num_classes is not None and self.num_classes < 1:
            raise UsageError(f"is {self.num_classes}; it must be at least 1", field="num_classes", joint=" ")
        sizes = (self.input_size,) if isinstance(self.input_size, int) else self.input_size
        if sizes is not None and (not sizes or min(sizes) < 1):
            raise UsageError(f"is {self.input_size}; every size must be at least 1", field="input_size", joint=" ")
