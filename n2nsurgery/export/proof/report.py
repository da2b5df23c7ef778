"""What an export did and what was proven of the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from n2nsurgery.export.config import ExportConfig
from n2nsurgery.export.files.ideal_size import ideal_size
from n2nsurgery.export.sparse.weight_record import WeightRecord


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far one computation of an output is from another, for one output at one batch size.

    `subject` and `reference` name the two. `scale` is max |y_reference|; `difference` is max |y - y_reference| / scale
    (absolute where scale is 0, as it is for a network whose last layer starts at zero: equality then says nothing of
    the layers before it).
    """

    output: str
    batch: int
    scale: float
    difference: float
    subject: str
    reference: str


@dataclass(frozen=True, kw_only=True, repr=False)
class WrittenFile:
    """A file and the proofs that let it appear.

    `size` is in bytes, external data included. `parity`: how far the file is from what it was made of. `identical`:
    stock ONNX Runtime computes the same bits with this file and with its dense form (None for a dense file).
    `weights`: how each is stored. `already_there`: an equal file was there before, and was kept.
    """

    path: Path
    external_data: Path | None
    size: int
    opset: int
    ir_version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: int
    parity: tuple[Parity, ...]
    identical: bool | None
    weights: tuple[WeightRecord, ...]
    already_there: bool = False

    def __repr__(self) -> str:
        """One line: the file, its size, and how far it is from what it was made of."""
        worst = max((each.difference for each in self.parity), default=0.0)
        return f"{type(self).__name__}('{self.path}', {self.size / 1e6:.3g} MB, parity {worst:.3g})"

    @property
    def ideal_size(self) -> float:
        """Bytes of an ideal code of these non-zeros in fp32; see ideal_size.py."""
        return ideal_size((record.nnz, record.numel) for record in self.weights)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            **asdict(self),
            "path": str(self.path),
            "external_data": str(self.external_data) if self.external_data else None,
            "ideal_size": self.ideal_size,
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class ExportReport(WrittenFile):
    """The file that was exported.

    `tolerance` is the largest `difference` from torch that is accepted. `masked` parameters were found in the file with
    every pruned weight at zero; `unchecked` masks belong to parameters that the file does not hold under their name
    (the optimizer merged or removed them). `removed_channels`: by parameter, what compaction took away.
    """

    config: ExportConfig
    tolerance: float
    masked: tuple[str, ...]
    unchecked: tuple[str, ...]
    removed_channels: dict[str, int]
