"""TrainRequest: what was asked of `train`, checked as far as it can be without reading the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from n2nsurgery.core.errors import UsageError

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """One call of `train`.

    `overrides`: as given to `--set`. `resume`: `auto` (the run of this recipe, begun where there is none) or the folder
    of a run, None to begin. `allow_changes`: go on although the recipe has changed, where training permits it. `output`
    is the run's folder, None for `runs/<recipe>-<hash>`. `timeout`: seconds, in place of `train.distributed_timeout`.
    Raises UsageError for options that contradict each other.
    """

    recipe: Path
    overrides: tuple[str, ...] = ()
    resume: str | None = None
    allow_changes: bool = False
    output: Path | None = None
    overwrite: bool = False
    dry_run: bool = False
    download: bool = False
    allow_import: bool = False
    device: str | None = None
    data_root: Path | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.resume is not None and self.overwrite:
            raise UsageError("--resume goes on with a run and --overwrite replaces it: choose one")
        if self.allow_changes and self.resume is None:
            raise UsageError("--allow-changes is for a run that is resumed: pass --resume too")
        if self.output is not None and self.resume not in {None, AUTO}:
            raise UsageError(f"--resume {self.resume} and --output {self.output} both name a run: leave one out")
