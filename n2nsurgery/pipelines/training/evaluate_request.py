"""EvaluationRequest: what was asked of `eval`, checked as far as it can be without reading anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import unknown

SPLITS = ("test", "validation", "train")


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """One call of `eval`.

    `folder`: of a run or an artifact; `last`: a run's newest weights instead of its best. `data`: a data set by name,
    None for the run's own; `overrides`: its options, as given to `--set data.KEY=VALUE`. Raises UsageError for values
    out of range.
    """

    folder: Path
    last: bool = False
    data: str | None = None
    overrides: tuple[str, ...] = ()
    data_root: Path | None = None
    split: str = "test"
    batch_size: int = 256
    seed: int | None = None
    device: str = "auto"
    download: bool = False
    allow_import: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.split not in SPLITS:
            raise unknown("--split", self.split, SPLITS)
        if self.batch_size < 1:
            raise UsageError(f"--batch-size is {self.batch_size}; it must be at least 1")
