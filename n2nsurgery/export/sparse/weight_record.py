"""WeightRecord: how a file holds one weight, as it stands in the file's metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any, Literal, get_args

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.export.codec.choose import Code
from n2nsurgery.export.codec.values import VALUES, Values

MAX_NUMEL = 2**31 - 1
"""Places that the positions of a code, 32-bit integers in every runtime, can name."""

_MAX_RANK = 8


@dataclass(frozen=True, kw_only=True)
class WeightRecord:
    """`name` is the parameter's. `shape` is that of what is stored; `transposed` where this is the parameter's, turned.

    `initializer` is the tensor's name where it is stored densely; coded tensors are `<name>.gaps` or `<name>.bits`,
    `<name>.values` and `<name>.scales`. `computed` tells which kernel the sparse runtime uses; `reason` says why.
    `measured`: how many times as fast as dense the sparse kernel was, where the export measured it. `bytes` is what
    the tensors take in the file.
    """

    name: str
    initializer: str
    shape: tuple[int, ...]
    transposed: bool
    nnz: int
    code: Code
    values: Values
    computed: Literal["sparse", "dense"]
    reason: str
    bytes: int
    measured: float | None = None

    @property
    def numel(self) -> int:
        """Places of the weight."""
        return prod(self.shape)

    @property
    def density(self) -> float:
        """Nnz / numel, which is the layer's MAC density too: each of its weights is used equally often."""
        return self.nnz / self.numel if self.numel else 0.0

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
        names = {field.name for field in fields(cls)}
        if not isinstance(value, dict) or value.keys() != names:
            raise InvalidFileError(f"a weight record needs exactly the keys {sorted(names)}; export the model again")
        shape = value["shape"]
        sizes_fit = (
            isinstance(shape, list | tuple)
            and len(shape) <= _MAX_RANK
            and all(type(size) is int and 0 <= size <= MAX_NUMEL for size in shape)
            and prod(shape) <= MAX_NUMEL
        )
        if not (
            sizes_fit
            and all(isinstance(value[key], str) for key in ("name", "initializer", "reason"))
            and value["code"] in get_args(Code)
            and value["values"] in VALUES
            and value["computed"] in {"sparse", "dense"}
            and isinstance(value["transposed"], bool)
            and (value["measured"] is None or (isinstance(value["measured"], int | float) and value["measured"] > 0))
            and all(type(value[key]) is int and value[key] >= 0 for key in ("nnz", "bytes"))
        ):
            raise InvalidFileError(f"the record of weight '{value['name']}' is damaged; export the model again")
        return cls(**{**value, "shape": tuple(shape)})
