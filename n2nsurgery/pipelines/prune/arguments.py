"""What the arguments of `n2nsurgery.apply` and `inspect` mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from n2nsurgery.core.config.signature import require_known
from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.criterion import Criterion, described
from n2nsurgery.surgery.planning.config import Preset, SurgeryConfig
from n2nsurgery.surgery.planning.keywords import SurgeryOptions


def config_of(
    config: SurgeryConfig | None, preset: Preset | None, criterion: str | Criterion | None, options: SurgeryOptions
) -> tuple[SurgeryConfig, Criterion | None]:
    """The config that the arguments of `apply` describe, and the criterion where no registry has it."""
    require_known(options, SurgeryOptions, "apply")
    scorer: Criterion | None = None
    if criterion is not None and not isinstance(criterion, str):
        if "criterion_options" in options:
            raise UsageError("is for a criterion by name; the object has its own", field="criterion_options", joint=" ")
        criterion, options["criterion_options"], scorer = described(criterion)
    if config is None:
        return SurgeryConfig.from_preset(preset, criterion=criterion or "random", **options), scorer
    if preset is not None:
        raise UsageError("is for options; the config that is given beside it is complete", field="preset", joint=" ")
    changes: dict[str, Any] = (
        dict(options) if criterion is None else {"criterion": criterion, "criterion_options": {}, **options}
    )
    return replace(config, **changes), scorer


def require_object(model: object) -> None:
    """Return where `model` is a module or a name; raises UsageError for its class, or for what is neither."""
    if isinstance(model, type):
        raise UsageError(f"{model.__name__} is a class; give an object of it, {model.__name__}(...)")
    if not isinstance(model, nn.Module | str):
        raise UsageError(f"the model is a {type(model).__name__}; give an nn.Module, or a name of `n2nsurgery models`")
