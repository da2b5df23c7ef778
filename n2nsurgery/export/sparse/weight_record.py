"""WeightRecord: how a file holds one weight, as it stands in the file's metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Literal

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.export.codec.choose import Code
from n2nsurgery.export.config import Values

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
        try:
            record = decode(cls, value, "the record of a weight")
        except InvalidFileError as error:
            raise InvalidFileError(f"{error}; export the model again") from error
        _require_sizes(record)
        return record


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
    if min(record.nnz, record.bytes) < 0 or (record.measured is not None and record.measured <= 0):
        raise InvalidFileError(
            f"the record of weight '{record.name}' has nnz {record.nnz}, bytes {record.bytes} and measured"
            f" {record.measured}; counts are 0 or more and speeds above 0; export the model again"
        )
