"""The teacher of a distillation: a model by name, or the trained network of an artifact or a run."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.splits import DataSplits
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.pipelines.saved.load import load
from n2nsurgery.pipelines.training.fitted import fitted_bundle, require_outputs
from n2nsurgery.training.config.distillation import DistillationConfig


def teacher_of(
    config: DistillationConfig, splits: DataSplits, *, seed: int, download: bool, allow_import: bool
) -> nn.Module:
    """The network that `config` names, which takes the samples of `splits` and scores their classes.

    Raises UsageError where it does not, and the errors of `load` and of building a model.
    """
    if config.teacher is None:
        raise UsageError("distillation.teacher is left out; name a model, or the folder of an artifact or a run")
    if Path(config.teacher).is_dir():
        if config.weights is not None:
            raise UsageError(f"distillation.weights is given, but '{config.teacher}' brings its own; leave it out")
        module: nn.Module = load(config.teacher, allow_import=allow_import).module
        require_outputs(config.teacher, module, splits, num_classes=None)
        return module
    request = ModelConfig(name=config.teacher, weights=config.weights)
    return fitted_bundle(request, splits, seed=seed, download=download, allow_import=allow_import).module
