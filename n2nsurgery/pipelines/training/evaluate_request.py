"""EvaluationRequest: what was asked of `eval`, checked as far as it can be without reading anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

from n2nsurgery.core.config.devices import require_device
from n2nsurgery.core.config.options import COUNT, Range, option
from n2nsurgery.recipe.options import RecipeOptions
from n2nsurgery.registries import DATA_SETS

SplitName = Literal["test", "validation", "train"]
_SAMPLES = "What is measured"


class EvaluationOptions(TypedDict, total=False):
    """The fields of EvaluationRequest that `n2nsurgery.evaluate` takes as keywords, for editors and type checkers."""

    data_root: Path | None
    download: bool
    allow_import: bool
    last: bool
    split: SplitName
    batch_size: int
    seed: int | None
    device: str


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest(RecipeOptions):
    """One call of `eval`.

    `folder`: of a run or an artifact; `last`: a run's newest weights instead of its best. `data`: a data set by name,
    None for the run's own; of `overrides` only those of the data are allowed. Raises UsageError for values out of
    range.
    """

    folder: Path
    data: str | None = field(
        default=None,
        metadata=option("a data set; default: the run's own", metavar="NAME", group=_SAMPLES, registry=DATA_SETS),
    )
    split: SplitName = field(default="test", metadata=option("which samples", group=_SAMPLES))
    last: bool = field(
        default=False, metadata=option("of a run, its newest weights instead of its best", group=_SAMPLES)
    )
    batch_size: int = field(
        default=256, metadata=option("samples in a batch", metavar="N", group=_SAMPLES, within=COUNT)
    )
    seed: int | None = field(
        default=None,
        metadata=option(
            "of generated data and splits; default: the run's", metavar="N", group=_SAMPLES, within=Range(least=0)
        ),
    )
    device: str = field(
        default="auto", metadata=option("where tensors are computed", metavar="auto|cpu|cuda:N", group=_SAMPLES)
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        super().__post_init__()
        require_device(self.device)
