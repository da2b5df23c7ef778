"""DataRequest: which data set is wanted, with its options and the folder that it lies in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from n2nsurgery.data.registry import DataSet
from n2nsurgery.data.splits import DataSplits


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """The data set `name`, made with `options`, from files below `root` (None: see `location.data_root`)."""

    name: str
    options: DataSet
    root: Path | None = None

    def load(self, *, download: bool, seed: int) -> DataSplits:
        """The splits; see `DataSet.load`."""
        return self.options.load(self.root, download=download, seed=seed)
