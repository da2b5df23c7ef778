"""What compression did and what was proven of the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from n2nsurgery.export.compress.config import CompressConfig
from n2nsurgery.export.files.ideal_size import ideal_size
from n2nsurgery.export.proof.report import Parity
from n2nsurgery.export.sparse.weight_record import WeightRecord


@dataclass(frozen=True, kw_only=True)
class CompressReport:
    """The file that was read, the one that was written, and the numbers that let it appear.

    Sizes are in bytes, external data included. `parity`: how far the written file is from the one that was read, link
    by link. `identical`: stock ONNX Runtime computes the same bits with the written file and with its dense form.
    `weights`: how each is stored. `notes`: what was changed of the file so that it could be coded, and what was not
    checked.
    """

    source: Path
    source_size: int
    path: Path
    external_data: Path | None
    size: int
    config: CompressConfig
    opset: int
    ir_version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: int
    parity: tuple[Parity, ...]
    identical: bool | None
    weights: tuple[WeightRecord, ...]
    notes: tuple[str, ...] = ()

    @property
    def bound(self) -> float:
        """Bytes for these non-zeros in fp32; see ideal_size.py."""
        return ideal_size((record.nnz, record.numel) for record in self.weights)

    def to_json(self) -> dict[str, Any]:
        """The document that `compress --json` prints."""
        return {
            **{name: value for name, value in asdict(self).items() if name != "path"},
            "source": str(self.source),
            "onnx": str(self.path),
            "external_data": str(self.external_data) if self.external_data else None,
            "bound": self.bound,
        }
