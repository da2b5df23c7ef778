"""FadingConfig: when skips lose their strength in training, so that the trained network needs none.

    strength(t) = 1 - (t - t0) / (T - t0)

between the steps t0 and T, which lie at the parts `begin` and `until` of the run; 1 before and 0 after them.
Source: Jaiswal et al. 2022, "Training your sparse neural network better with any mask", its ghost skip connections.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from n2nsurgery.core.config.options import Range, check_options, option
from n2nsurgery.core.validation import require


@dataclass(frozen=True, kw_only=True)
class FadingConfig:
    """`begin` in [0, 1) and `until` in (0, 1], `begin` below `until`: parts of the run. Raises UsageError."""

    begin: float = field(
        default=0.25,
        metadata=option("part of the run at which skips begin to fade", within=Range(least=0, below=1)),
    )
    until: float = field(
        default=0.75, metadata=option("part of the run after which they are gone", within=Range(above=0, most=1))
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        check_options(self, "skip_fade")
        require(self.begin < self.until, "skip_fade.begin", self.begin, f"below skip_fade.until, {self.until}")

    def strength(self, step: int, steps: int) -> float:
        """The factor of every branch once `step` of `steps` optimizer steps are done, in [0, 1]; 0 at the end."""
        first, last = self.begin * steps, self.until * steps
        return min(1.0, max(0.0, (last - step) / (last - first)))
