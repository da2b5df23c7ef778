"""What a data set offers, and the registry that finds the sets.

A set is a file in `sets/` whose `MEMBER` is a frozen dataclass satisfying `DataSet`: its fields are its options.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from n2nsurgery import registries
from n2nsurgery.core.registry import Registry

if TYPE_CHECKING:
    from n2nsurgery.data.pipeline.splits import DataSplits


class DataSet(Protocol):
    """A data set with its options as fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def load(self, root: Path | None, *, download: bool, seed: int) -> DataSplits:
        """The splits, from files below `root` (see `location.data_root`) or generated from `seed`.

        `download` permits to fetch what is missing. The same seed gives the same splits. Raises UsageError where
        nothing is found, InvalidFileError where what is found is damaged or of other classes.
        """
        ...


DATA_SETS: Registry[type[DataSet]] = registries.DATA_SETS
