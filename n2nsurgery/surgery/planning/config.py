"""SurgeryConfig: what was asked for, before any model was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.layers.pairs import PairSelection
from n2nsurgery.skips.spec import Pooling
from n2nsurgery.surgery.planning.junctions import JunctionRequest

Option = float | bool | str


@dataclass(frozen=True, kw_only=True)
class SurgeryConfig:
    """The request of one pruning; the defaults are the best settings known, not the paper's.

    `density`: kept weights over prunable weights of the dense model, in (0, 1]; None where `junctions` say what is
    kept, and all other layers stay dense. `skip_ratio`: part of the kept weights that goes to skips, in [0, 1), or
    `auto`: what the one-to-one pattern needs. `criterion` with its `criterion_options`: who survives in the original
    layers. `junctions`: what single layers keep. `skip`: n2n (Eq. 2), residual (Eq. 1) or none. `pattern` of the
    skips' weights: `one-to-one` (one weight for each target channel) or `random` (the paper's). `kernel`: 1, the
    `target` layer's, or `auto`: 1 where such skips can hold their budget, else the target's. `skip_allocation`: how the
    skip budget is divided among the skips (`uniform`: by size, `equal`). `norm`: BatchNorm on the branch, `auto`
    (random patterns beside a shortcut), `always` or `never`. `keep_dense`: patterns over layers that lose no weight.
    `redistribute`: where a part of the budget does not fit, let the other part have the rest (recorded) instead of
    failing. `draw`: which pattern of those that the seed gives; only patterns depend on it.
    """

    density: float | None
    skip_ratio: float | Literal["auto"] = "auto"
    criterion: str = "random"
    criterion_options: tuple[tuple[str, Option], ...] = ()
    junctions: tuple[JunctionRequest, ...] = ()
    floor_per_layer: int = 0
    floor_per_channel: int = 0
    skip: str = "n2n"
    pattern: Literal["one-to-one", "random"] = "one-to-one"
    kernel: Literal["auto", "1", "target"] = "auto"
    skip_allocation: Literal["uniform", "equal"] = "uniform"
    pairs: PairSelection = field(default_factory=PairSelection)
    pooling: Pooling = "average"
    norm: Literal["auto", "always", "never"] = "auto"
    keep_dense: tuple[str, ...] = ()
    redistribute: bool = False
    seed: int = 0
    draw: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        if self.density is None and not self.junctions:
            raise UsageError("neither a density nor the fan-out or density of any layer is given")
        if self.density is not None and not 0 < self.density <= 1:
            raise UsageError(f"density is {self.density}; it is the kept fraction and must lie in (0, 1]")
        if self.junctions and (self.floor_per_layer or self.floor_per_channel):
            raise UsageError("floors and fan-outs or densities of single layers exclude each other")
        if self.skip_ratio != "auto" and not 0 <= self.skip_ratio < 1:
            raise UsageError(f"skip ratio is {self.skip_ratio}; it must lie in [0, 1), or be 'auto'")
        if self.skip == "n2n" and self.pattern == "random" and self.skip_ratio == "auto":
            raise UsageError("skip ratio 'auto' is what one-to-one needs; a random pattern needs a number")
        if self.skip != "n2n" and self.skip_ratio not in {"auto", 0}:
            raise UsageError(
                f"skip ratio {self.skip_ratio} with skip '{self.skip}', which has no weights: leave it out"
            )
