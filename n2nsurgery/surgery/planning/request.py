"""SurgeryRequest: what a person asks of surgery, by option; checked as far as it can be without looking at a model.

Pure values: importing this needs no torch, so a mistyped option is reported before anything slow is loaded. Names
that live in registries (criteria) and patterns are checked where the registries are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import unknown

CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "allocation": ("erk", "uniform", "equal", "global", "later-denser"),
        "granularity": ("weight", "kernel", "block4"),
        "scope": ("global", "layer"),
        "skip": ("n2n", "residual", "none"),
        "skip_pattern": ("one-to-one", "random"),
        "skip_kernel": ("auto", "1", "target"),
        "pairs": ("overlapping", "blocks", "random", "all"),
        "shortcuts": ("around", "two-blocks", "plain"),
        "pooling": ("average", "max", "stride"),
        "preset": ("paper",),
        "select": ("scatter",),
    }
)
"""The values allowed for each option that has a closed set of them."""

_AT_LEAST = MappingProxyType(
    {"skip_length": 1, "num_pairs": 1, "floor_layer": 0, "floor_channel": 0, "batches": 1, "batch_size": 1, "tries": 1}
)
_PAPER: dict[str, Any] = {
    "allocation": "uniform",
    "skip_pattern": "random",
    "skip_ratio": 0.5,
    "skip_kernel": "target",
    "shortcuts": "plain",
}


@dataclass(frozen=True, kw_only=True)
class SurgeryRequest:
    """What is to be pruned and grafted; every field is named like its option.

    Exactly one of `density` in (0, 1], `sparsity` in [0, 1) and `compression` >= 1 is given; none where `fan_out` and
    `junction_density` (layer pattern, number) say what layers keep and all others stay dense. `skip_ratio` is the
    share of the budget that goes to skips, in [0, 1), or "auto": what a one-to-one pattern needs. None means "not
    asked for"; `filled()` puts the preset's or the default value there. `batches` of `batch_size` samples are what
    scores are computed on. Raises UsageError for values out of range, unknown or in contradiction.
    """

    density: float | None = None
    sparsity: float | None = None
    compression: float | None = None
    fan_out: tuple[tuple[str, int], ...] = ()
    junction_density: tuple[tuple[str, float], ...] = ()
    criterion: str = "random"
    allocation: str | None = None
    granularity: str = "weight"
    scope: str = "global"
    skip: str = "n2n"
    skip_ratio: float | Literal["auto"] | None = None
    skip_pattern: str | None = None
    skip_kernel: str | None = None
    skip_length: int = 3
    pairs: str = "overlapping"
    shortcuts: str | None = None
    num_pairs: int | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keep_dense: tuple[str, ...] = ()
    pooling: str = "average"
    heads: bool = False
    redistribute: bool = False
    tries: int = 1
    select: str | None = None
    floor_layer: int = 0
    floor_channel: int = 0
    preset: str | None = None
    batches: int = 1
    batch_size: int = 128

    def __post_init__(self) -> None:
        self._check_budget()
        for field, allowed in CHOICES.items():
            value = getattr(self, field)
            if value is not None and value not in allowed:
                raise unknown(self.spelled(field), value, allowed)
        self.require_at_least(_AT_LEAST)
        self._check_skips()
        if (self.tries > 1) != (self.select is not None):
            raise UsageError(
                f"{self.spelled('tries')} and {self.spelled('select')} belong together: how many patterns are "
                "drawn, and which is kept"
            )

    @staticmethod
    def spelled(field: str) -> str:
        """How messages name a field: as a recipe writes it."""
        return field

    def require_at_least(self, least: Mapping[str, int]) -> None:
        """Raise UsageError where a field that is given is below its bound."""
        for field, bound in least.items():
            value = getattr(self, field)
            if value is not None and value < bound:
                raise UsageError(f"{self.spelled(field)} is {value}; it must be at least {bound}")

    def _check_budget(self) -> None:
        given = [name for name in ("density", "sparsity", "compression") if getattr(self, name) is not None]
        if len(given) != 1 and (given or not (self.fan_out or self.junction_density)):
            seen = "none is given" if not given else " and ".join(map(self.spelled, given)) + " are given"
            density, sparsity, compression = map(self.spelled, ("density", "sparsity", "compression"))
            raise UsageError(f"exactly one of {density}, {sparsity} and {compression} sets the budget; {seen}")
        self._within(self.density, "density", "in (0, 1]", lambda value: 0 < value <= 1)
        self._within(self.sparsity, "sparsity", "in [0, 1)", lambda value: 0 <= value < 1)
        self._within(self.compression, "compression", "1 or more", lambda value: value >= 1)

    def _check_skips(self) -> None:
        if not isinstance(self.skip_ratio, str):
            self._within(self.skip_ratio, "skip_ratio", "in [0, 1) or 'auto'", lambda value: 0 <= value < 1)
        filled = self._values()
        if self.skip == "n2n" and filled["skip_ratio"] == "auto" and filled["skip_pattern"] == "random":
            raise UsageError(
                f"{self.spelled('skip_ratio')} auto is what a one-to-one pattern needs; with "
                f"{self.spelled('skip_pattern')} random give a number"
            )
        if self.skip != "n2n" and self.skip_ratio not in (None, "auto", 0):
            raise UsageError(
                f"{self.spelled('skip_ratio')} is {self.skip_ratio}, but {self.spelled('skip')} {self.skip} holds no"
                " weights; leave the ratio out"
            )

    @property
    def kept(self) -> float | None:
        """The budget as a density in (0, 1], whichever synonym it was asked for in; None: layers say what they keep."""
        if self.density is not None:
            return self.density
        if self.sparsity is not None:
            return float(1 - Decimal(str(self.sparsity)))  # 0.95 is a density of 0.05, not of 0.05000000000000004
        return None if self.compression is None else 1 / self.compression

    def filled(self) -> Self:
        """This request with the preset's or the default value wherever nothing was asked for."""
        return replace(self, **self._values())

    def _values(self) -> dict[str, Any]:
        """What the preset has a word in: as asked, else as the preset says, else the default."""
        asked = {name: value for name in _PAPER if (value := getattr(self, name)) is not None}
        chosen = (
            {"allocation": "erk", "skip_pattern": "one-to-one", "shortcuts": "around"}
            | (_PAPER if self.preset == "paper" else {})
            | asked
        )
        if self.skip != "n2n":
            chosen["skip_ratio"] = 0.0
        if chosen["skip_pattern"] == "one-to-one":
            return {"skip_ratio": "auto", "skip_kernel": "auto"} | chosen
        return {"skip_ratio": 0.5, "skip_kernel": "target"} | chosen

    def _within(self, value: float | None, field: str, allowed: str, holds: Callable[[float], bool]) -> None:
        if value is not None and not (isfinite(value) and holds(value)):
            raise UsageError(f"{self.spelled(field)} is {value}; it must be {allowed}")


@dataclass(frozen=True, kw_only=True)
class ArtifactRequest:
    """A pruning that was done before: the folder of its artifact."""

    artifact: Path
