"""n2nsurgery: prune a PyTorch model to an exact budget and graft sparse, learnable skip connections (N2NSkip).

Everything public is imported when it is first used, so that `import n2nsurgery` does not import torch.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from n2nsurgery.core.version import __version__ as __version__
from n2nsurgery.imports import public_names

if TYPE_CHECKING:
    from n2nsurgery.core.errors import N2NSurgeryError
    from n2nsurgery.masks.maskset import MaskSet
    from n2nsurgery.pipelines.deploy.compress import compress
    from n2nsurgery.pipelines.deploy.export import export_onnx
    from n2nsurgery.pipelines.prune.apply import apply
    from n2nsurgery.pipelines.prune.inspect import inspect
    from n2nsurgery.pipelines.python.evaluate import evaluate
    from n2nsurgery.pipelines.python.report import diff, report
    from n2nsurgery.pipelines.python.train import train
    from n2nsurgery.pipelines.saved.load import load
    from n2nsurgery.skips.spec import SkipSpec
    from n2nsurgery.surgery.planning.config import SurgeryConfig
    from n2nsurgery.surgery.planning.plan import SurgeryPlan
    from n2nsurgery.surgery.pruned_model import PrunedModel
    from n2nsurgery.surgery.record import SurgeryRecord
    from n2nsurgery.training.loop.events import Callbacks
    from n2nsurgery.training.metrics.measure import FunctionMetric

__all__ = [  # noqa: RUF022 - the verbs first
    "apply", "train", "evaluate", "report", "diff", "load", "inspect", "export_onnx", "compress",
    "Callbacks", "FunctionMetric",
    "MaskSet", "N2NSurgeryError", "PrunedModel", "SkipSpec", "SurgeryConfig", "SurgeryPlan", "SurgeryRecord",
]  # fmt: skip

_PACKAGES = (
    "adapters", "connectivity", "core", "data", "experiments", "export", "graph", "masks", "models", "pipelines",
    "plugins", "recipe", "register", "registries", "runtime", "skips", "sparse_training", "surgery", "testing",
    "training",
)  # fmt: skip
_public, __dir__ = public_names(
    __name__,
    {
        "MaskSet": "n2nsurgery.masks.maskset:MaskSet",
        "N2NSurgeryError": "n2nsurgery.core.errors:N2NSurgeryError",
        "PrunedModel": "n2nsurgery.surgery.pruned_model:PrunedModel",
        "SkipSpec": "n2nsurgery.skips.spec:SkipSpec",
        "SurgeryConfig": "n2nsurgery.surgery.planning.config:SurgeryConfig",
        "SurgeryPlan": "n2nsurgery.surgery.planning.plan:SurgeryPlan",
        "SurgeryRecord": "n2nsurgery.surgery.record:SurgeryRecord",
        "apply": "n2nsurgery.pipelines.prune.apply:apply",
        "compress": "n2nsurgery.pipelines.deploy.compress:compress",
        "export_onnx": "n2nsurgery.pipelines.deploy.export:export_onnx",
        "inspect": "n2nsurgery.pipelines.prune.inspect:inspect",
        "load": "n2nsurgery.pipelines.saved.load:load",
        "diff": "n2nsurgery.pipelines.python.report:diff",
        "evaluate": "n2nsurgery.pipelines.python.evaluate:evaluate",
        "report": "n2nsurgery.pipelines.python.report:report",
        "train": "n2nsurgery.pipelines.python.train:train",
        "Callbacks": "n2nsurgery.training.loop.events:Callbacks",
        "FunctionMetric": "n2nsurgery.training.metrics.measure:FunctionMetric",
        **{package: f"{__name__}.{package}" for package in _PACKAGES},  # n2nsurgery.masks, without a second import
    },
)
_RENAMED = {"Operated": "PrunedModel"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    if name in _RENAMED:
        warnings.warn(f"n2nsurgery.{name} is now n2nsurgery.{_RENAMED[name]}", DeprecationWarning, stacklevel=2)
    return _public(_RENAMED.get(name, name))
