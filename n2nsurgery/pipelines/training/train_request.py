"""TrainRequest: what was asked of `train`, checked as far as it can be without reading the recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from n2nsurgery.core.config.devices import require_device
from n2nsurgery.core.config.options import COUNT, Range, option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.recipe.options import RecipeOptions

AUTO = "auto"
_RUN, _PROCESSES = "The run", "Where it runs"


@dataclass(frozen=True, kw_only=True)
class TrainRequest(RecipeOptions):
    """One call of `train`.

    `resume`: `auto` (the run of this recipe, begun where there is none) or the folder of a run, None to begin.
    `allow_changes`: go on although the recipe has changed, where training permits it. `output` is the run's folder,
    None for `runs/<recipe>-<hash>`. `gpus`: processes that are started, one for each GPU; None for this one alone.
    `device` and `timeout` (seconds) stand in place of `train.device` and `train.distributed_timeout`.
    Raises UsageError for values out of range and for options that contradict each other.
    """

    recipe: Path
    resume: str | None = field(
        default=None,
        metadata=option(
            "go on: auto with this recipe's run, begun where there is none", metavar="[auto|RUN]", group=_RUN
        ),
    )
    allow_changes: bool = field(
        default=False, metadata=option("resume with a changed recipe where training permits it", group=_RUN)
    )
    output: Path | None = field(
        default=None, metadata=option("the run's folder; default: runs/RECIPE-HASH", metavar="DIR", group=_RUN)
    )
    overwrite: bool = field(default=False, metadata=option("replace what is there; refused by default", group=_RUN))
    dry_run: bool = field(default=False, metadata=option("print the plan, write nothing", group=_RUN))
    gpus: int | None = field(
        default=None,
        metadata=option(
            "processes, one for each GPU; default: this one alone", metavar="N", group=_PROCESSES, within=COUNT
        ),
    )
    timeout: float | None = field(
        default=None,
        metadata=option(
            "end the run where one of its processes does not answer for so long; default: 1800",
            metavar="SECONDS",
            group=_PROCESSES,
            within=Range(above=0),
        ),
    )
    device: str | None = field(
        default=None,
        metadata=option("the same as --set train.device=...", metavar="auto|cpu|cuda:N", group=_PROCESSES),
    )

    def __post_init__(self) -> None:
        """Refuse what is out of range or contradicts itself."""
        super().__post_init__()
        if self.device is not None:
            require_device(self.device)
        if self.resume is not None and self.overwrite:
            raise UsageError("--resume goes on with a run and --overwrite replaces it: choose one")
        if self.allow_changes and self.resume is None:
            raise UsageError("--allow-changes is for a run that is resumed: pass --resume too")
        if self.output is not None and self.resume not in {None, AUTO}:
            raise UsageError(f"--resume {self.resume} and --output {self.output} both name a run: leave one out")
