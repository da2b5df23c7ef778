"""DistillationConfig: which teacher a student learns from, and how much it counts."""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.core.validation import above, require


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """`teacher`: a model by name (as `n2nsurgery models` lists it), or the folder of an artifact or a run.

    In Python the teacher may be a module, and the name is left out. `weights`: those of a teacher by name, as for a
    model. `temperature` divides the scores of both; `weight` in (0, 1]: the teacher's part of the loss. Raises
    UsageError for values out of range.
    """

    teacher: str | None = None
    weights: str | None = None
    temperature: float = 4.0
    weight: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        require(above(self.temperature, 0), "distillation.temperature", self.temperature, "above 0")
        require(above(self.weight, 0) and self.weight <= 1, "distillation.weight", self.weight, "in (0, 1]")
