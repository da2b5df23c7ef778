"""What compression did and what was proven of the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2nsurgery.export.compress.config import CompressConfig
from n2nsurgery.export.proof.report import WrittenFile


@dataclass(frozen=True, kw_only=True, repr=False)
class CompressReport(WrittenFile):
    """The file that was written, and the one that was read.

    `parity`: how far the first is from the second, link by link. `notes`: what was changed of the file so that it could
    be coded, and what was not checked.
    """

    source: Path
    source_size: int
    config: CompressConfig
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document that `compress --json` prints."""
        document = super().to_json()
        document["onnx"] = document.pop("path")
        return {**document, "source": str(self.source)}
