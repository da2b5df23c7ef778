"""What the arguments of `n2nsurgery.apply` and `inspect` mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from n2nsurgery.core.config.signature import require_known
from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.criterion import Criterion
from n2nsurgery.pipelines.prune.objects import by_name, criterion_of_objects
from n2nsurgery.surgery.planning.config import WITH_OPTIONS, SurgeryConfig
from n2nsurgery.surgery.planning.keywords import SurgeryOptions
from n2nsurgery.surgery.planning.presets import Preset


def config_of(
    config: SurgeryConfig | None, preset: Preset | None, criterion: str | Criterion | None, options: SurgeryOptions
) -> tuple[SurgeryConfig, Criterion | None]:
    """The config that the arguments of `apply` describe, and the criterion where no registry has it."""
    require_known(options, SurgeryOptions, "apply")
    given: dict[str, Any] = dict(options) if criterion is None else {"criterion": criterion, **options}
    named, objects = by_name(given)
    if config is not None and preset is not None:
        raise UsageError("is for options; the config that is given beside it is complete", field="preset", joint=" ")
    fresh: dict[str, Any] = {f"{name}_options": {} for name in WITH_OPTIONS if name in named}
    asked = SurgeryConfig.from_preset(preset, **named) if config is None else replace(config, **{**fresh, **named})
    return asked, criterion_of_objects(asked, objects)


def require_object(model: object) -> None:
    """Return where `model` is a module or a name; raises UsageError for its class, or for what is neither."""
    if isinstance(model, type):
        raise UsageError(f"{model.__name__} is a class; give an object of it, {model.__name__}(...)")
    if not isinstance(model, nn.Module | str):
        raise UsageError(f"the model is a {type(model).__name__}; give an nn.Module, or a name of `n2nsurgery models`")
