"""ModelRecipe: how to build a named model again, as a value that is stored as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.fingerprint import canonical_json

SourceName = Literal["family", "torchvision", "timm", "factory"]


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Everything that builds the architecture and its example inputs again, without the weights' file.

    `source` and `name`: where the model comes from. `arguments`: JSON values for its builder. `input_shapes`: one
    sample of each input, without the batch dimension. `seed` gave the initialization and the example inputs.
    `weights` says what was loaded on top, for information: rebuilding never loads it.
    """

    source: SourceName
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_shapes: tuple[tuple[int, ...], ...]
    seed: int
    weights: str | None = None

    def to_text(self) -> str:
        """The recipe as canonical JSON text."""
        return canonical_json(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> ModelSpec:
        """The recipe that `to_text` gave; InvalidFileError for anything else."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidFileError(f"the model's recipe is not JSON: {error}") from error
        names = {entry.name for entry in fields(cls)}
        if not isinstance(value, dict) or set(value) != names:
            raise InvalidFileError(f"the model's recipe must be an object with the keys {sorted(names)}; it is {text}")
        if not _is_valid(value):
            raise InvalidFileError(f"the model's recipe holds a value of the wrong type: {text}")
        shapes = tuple(tuple(shape) for shape in value.pop("input_shapes"))
        return cls(input_shapes=shapes, **value)


def _is_valid(value: dict[str, Any]) -> bool:
    shapes = value["input_shapes"]
    return (
        value["source"] in get_args(SourceName)
        and isinstance(value["name"], str)
        and isinstance(value["arguments"], dict)
        and isinstance(shapes, list)
        and all(isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape) for shape in shapes)
        and type(value["seed"]) is int
        and isinstance(value["weights"], str | None)
    )
