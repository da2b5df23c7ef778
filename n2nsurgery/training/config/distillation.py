"""DistillationConfig: which teacher a student learns from, and how much it counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from n2nsurgery.core.config.options import Range, check_options, option


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """`teacher`: a model by name (as `n2nsurgery models` lists it), or the folder of an artifact or a run.

    In Python the teacher may be a module, and the name is left out. `weights`: those of a teacher by name, as for a
    model. `temperature` divides the scores of both, but not the values of a regression; `weight` in (0, 1]: the
    teacher's part of the loss. Raises UsageError for values out of range.
    """

    teacher: str | None = field(default=None, metadata=option("a model by name, or the folder of an artifact or a run"))
    weights: str | None = field(default=None, metadata=option("pretrained weights of a teacher by name, or a file"))
    temperature: float = field(
        default=4.0, metadata=option("divides the scores of both networks", within=Range(above=0))
    )
    weight: float = field(default=0.5, metadata=option("the teacher's part of the loss", within=Range(above=0, most=1)))

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        check_options(self, "distillation")
