"""ModelSpec: how to build a named model again, as a value that is stored as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.fingerprint import canonical_json

SourceName = Literal["family", "torchvision", "timm", "hf", "factory"]
_INPUTS = MappingProxyType({"input_names": (), "input_ids": ()})


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Everything that builds the architecture and its example inputs again, without the weights' file.

    `source` and `name`: where the model comes from. `arguments`: JSON values for its builder. `input_shapes`: one
    sample of each input, without the batch dimension. `input_names`: the arguments of forward that they are; empty:
    the first ones. `input_ids`: of how many ids each consists, 0 for floats; empty: all are floats. `seed` gave the
    initialization and the example inputs. `weights` says what was loaded on top, for information: rebuilding never
    loads it.
    """

    source: SourceName
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_shapes: tuple[tuple[int, ...], ...]
    seed: int
    weights: str | None = None
    input_names: tuple[str, ...] = ()
    input_ids: tuple[int, ...] = ()

    def to_text(self) -> str:
        """The spec as canonical JSON text, in which inputs of floats by position, as all once were, are not named."""
        return canonical_json({k: v for k, v in asdict(self).items() if k not in _INPUTS or v})

    @classmethod
    def from_text(cls, text: str) -> ModelSpec:
        """The spec that `to_text` gave; InvalidFileError for anything else."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidFileError(f"the model's spec is not JSON: {error}") from error
        known = {**_INPUTS, **value} if isinstance(value, dict) else value
        spec = decode(cls, known, "the model's spec")
        counts = len(spec.input_shapes), 0
        sizes = [size for shape in spec.input_shapes for size in shape]
        if len(spec.input_names) not in counts or len(spec.input_ids) not in counts:
            raise InvalidFileError("the model's spec does not say of every input what it is")
        if any(size < 1 for size in sizes) or any(ids < 0 for ids in spec.input_ids):
            raise InvalidFileError(
                f"the model's spec has input_shapes {spec.input_shapes} of ids {spec.input_ids}; sizes are at least 1"
            )
        return spec
