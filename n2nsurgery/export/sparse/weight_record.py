"""WeightRecord: how a file holds one weight, as it stands in the file's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Literal

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.export.codec.choose import Code
from n2nsurgery.export.config import StoredAs

MAX_NUMEL = 2**31 - 1
"""Places that the positions of a code, 32-bit integers in every runtime, can name."""

FLOAT = "float32"

_MAX_RANK = 8


@dataclass(frozen=True, kw_only=True)
class WeightRecord:
    """`name` is the parameter's. `shape` is that of what is stored; `transposed` where this is the parameter's, turned.

    `initializer` is the tensor's name where it is stored densely; coded tensors are `<name>.gaps` or `<name>.bits`,
    `<name>.values` and `<name>.scales`, and where the values are `packed` those of codec/packed.py in their place.
    `computed` tells which kernel the sparse runtime uses; `reason` says why, and `arithmetic` in what it multiplies.
    `type` is that of the tensor in the network; what is not float32 is stored as it is, so that its int8 has no scales.
    `measured`: how many times as fast as dense the sparse kernel was, where the export measured it. `bytes` is what
    the tensors take in the file.
    """

    name: str
    initializer: str
    shape: tuple[int, ...]
    transposed: bool
    nnz: int
    code: Code
    values: StoredAs
    computed: Literal["sparse", "dense"]
    reason: str
    bytes: int
    measured: float | None = None
    type: str = FLOAT
    arithmetic: Literal["floats", "integers"] = "floats"
    packed: bool = False

    @property
    def numel(self) -> int:
        """Places of the weight."""
        return prod(self.shape)

    @property
    def density(self) -> float:
        """Nnz / numel, which is the layer's MAC density too: each of its weights is used equally often."""
        return self.nnz / self.numel if self.numel else 0.0

    @property
    def scaled(self) -> bool:
        """Its values are levels, which are multiplied by a scale for each row."""
        return self.values == "int8" and self.type == FLOAT

    @property
    def places(self) -> str:
        """Name of the tensor of gaps or bits."""
        return f"{self.name}.{'bits' if self.code == 'bits' else 'gaps'}"

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> WeightRecord:
        """The record that `to_json` gave; InvalidFileError for anything else."""
        try:
            older = {"type": FLOAT, "arithmetic": "floats", "packed": False}  # what older files do not say
            complete = {**older, **value} if isinstance(value, Mapping) else value
            record = decode(cls, complete, "the record of a weight")
        except InvalidFileError as error:
            raise InvalidFileError(f"{error}; export the model again") from error
        _require_sizes(record)
        return record


CODED_TYPES = frozenset({FLOAT, "float16", "bfloat16", "int8", "uint8"})
"""Types of the weights that can be coded."""


def _require_sizes(record: WeightRecord) -> None:
    """Raise InvalidFileError for sizes that no weight has; they decide how much is allocated."""
    shape_fits = (
        len(record.shape) <= _MAX_RANK
        and all(0 <= size <= MAX_NUMEL for size in record.shape)
        and record.numel <= MAX_NUMEL
    )
    if not shape_fits:
        raise InvalidFileError(
            f"the record of weight '{record.name}' has shape {record.shape}; at most {_MAX_RANK} dimensions and"
            f" {MAX_NUMEL} entries are read; export the model again"
        )
    if record.code != "dense" and record.type not in CODED_TYPES:
        raise InvalidFileError(
            f"the record of weight '{record.name}' has type '{record.type}'; coded are {', '.join(sorted(CODED_TYPES))}"
        )
    if min(record.nnz, record.bytes) < 0 or (record.measured is not None and record.measured <= 0):
        raise InvalidFileError(
            f"the record of weight '{record.name}' has nnz {record.nnz}, bytes {record.bytes} and measured"
            f" {record.measured}; counts are 0 or more and speeds above 0; export the model again"
        )
