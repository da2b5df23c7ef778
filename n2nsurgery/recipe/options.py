"""RecipeOptions: what a front end says beside a recipe, by the names of its fields; importing it reads nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from n2nsurgery.core.config.options import check_options, option

_GROUP = "Recipe and data"


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """What stands beside a recipe in `train`, `eval` and `sweep`; raises UsageError for values of another type.

    `overrides`: values by key, `data.workers=4`, in place of the recipe's. `data_root`: where data sets lie; None for
    $N2NSURGERY_DATA, or else the user's cache. `download`: data and pretrained weights may be fetched. `allow_import`:
    code that the recipe names may be run.
    """

    overrides: tuple[str, ...] = field(
        default=(),
        metadata=option("a value of the recipe, like data.workers=4", metavar="KEY=VALUE", group=_GROUP),
    )
    data_root: Path | None = field(
        default=None, metadata=option("where data sets lie; default: $N2NSURGERY_DATA", metavar="DIR", group=_GROUP)
    )
    download: bool = field(default=False, metadata=option("allow fetching data and pretrained weights", group=_GROUP))
    allow_import: bool = field(
        default=False, metadata=option("run code that is named: a model's factory, plugins", group=_GROUP)
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values of another type or out of range."""
        check_options(self)
