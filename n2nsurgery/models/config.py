"""ModelConfig: which model is wanted; the model section of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from n2nsurgery.core.config.options import COUNT, option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.models.weights_config import WeightsConfig


@dataclass(frozen=True, kw_only=True)
class ModelConfig(WeightsConfig):
    """A model by `name`: as `n2nsurgery models` lists it, timm:NAME, hf:FOLDER, file.py:Net, package.module:factory.

    The weights it starts from are said as in a WeightsConfig. `num_classes` and `input_size` (a number for height and
    width, or the shape of one sample): None for those of the data. `options`: further arguments of the builder. Raises
    UsageError for values out of range.
    """

    name: str = field(
        metadata=option("as `n2nsurgery models` lists it, timm:NAME, hf:FOLDER, file.py:Net or package.module:factory")
    )
    num_classes: int | None = field(
        default=None, metadata=option("outputs of the model; default: the classes of the data", within=COUNT)
    )
    input_size: int | tuple[int, ...] | None = field(
        default=None,
        metadata=option("height and width, or the shape of one sample; default: that of the data", within=COUNT),
    )
    options: Mapping[str, Any] = field(
        default_factory=dict, metadata=option("further arguments of the builder, by name")
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        super().__post_init__()
        if self.input_size == ():
            raise UsageError("is empty; it must be the shape of one sample", field="input_size", joint=" ")
