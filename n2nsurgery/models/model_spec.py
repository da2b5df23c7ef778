"""ModelRecipe: how to build a named model again, as a value that is stored as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from n2nsurgery.core.decoding import decode
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
        """The spec as canonical JSON text."""
        return canonical_json(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> ModelSpec:
        """The spec that `to_text` gave; InvalidFileError for anything else."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidFileError(f"the model's spec is not JSON: {error}") from error
        spec = decode(cls, value, "the model's spec")
        if any(size < 1 for shape in spec.input_shapes for size in shape):
            raise InvalidFileError(f"the model's spec has input_shapes {spec.input_shapes}; sizes are at least 1")
        return spec
