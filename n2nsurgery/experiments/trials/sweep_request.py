"""SweepRequest: what was asked of `sweep`, checked as far as it can be without reading the recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from n2nsurgery.core.config.devices import require_device
from n2nsurgery.core.config.options import COUNT, Range, option
from n2nsurgery.recipe.options import RecipeOptions

_SETTINGS, _RUNS = "Settings", "Runs"


@dataclass(frozen=True, kw_only=True)
class SweepRequest(RecipeOptions):
    """Which settings to train.

    `density` of the swept layers together, in (0, 1]. `layer`: patterns over linear layers; none means all of them.
    `count`: so many settings, evenly spread with both ends; None for all. `list_only`: say which they are and train
    nothing. `seeds`: runs of each setting, from the recipe's seed on. `workers`: trainings at a time, None for as many
    as the device has room for. Raises UsageError for values out of range.
    """

    recipe: Path
    density: float = field(
        metadata=option(
            "of the swept layers together, in (0, 1]", metavar="D", group=_SETTINGS, within=Range(above=0, most=1)
        )
    )
    layer: tuple[str, ...] = field(
        default=(), metadata=option("linear layers to sweep", metavar="PATTERN", group=_SETTINGS)
    )
    count: int | None = field(
        default=None,
        metadata=option(
            "so many settings, evenly spread with both ends; default: all",
            metavar="N",
            group=_SETTINGS,
            within=Range(least=2),
        ),
    )
    list_only: bool = field(
        default=False, metadata=option("say which settings there are and train nothing", group=_SETTINGS)
    )
    seeds: int = field(default=1, metadata=option("runs of each setting", metavar="N", group=_RUNS, within=COUNT))
    workers: int | None = field(
        default=None, metadata=option("trainings at a time", metavar="N", group=_RUNS, within=COUNT)
    )
    output: Path | None = field(
        default=None, metadata=option("the runs' folder; default: sweeps/RECIPE-dD", metavar="DIR", group=_RUNS)
    )
    device: str = field(
        default="auto", metadata=option("where tensors are computed", metavar="auto|cpu|cuda:N", group=_RUNS)
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        super().__post_init__()
        require_device(self.device)
