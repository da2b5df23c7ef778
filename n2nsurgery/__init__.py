"""n2nsurgery: prune a PyTorch model to an exact budget and graft sparse, learnable skip connections (N2NSkip).

Everything public is imported when it is first used, so that `import n2nsurgery` does not import torch.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from n2nsurgery.core.version import __version__ as __version__

if TYPE_CHECKING:
    from n2nsurgery.core.errors import N2NSurgeryError
    from n2nsurgery.masks.maskset import MaskSet
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

_HOMES = {
    "MaskSet": "n2nsurgery.masks.maskset",
    "N2NSurgeryError": "n2nsurgery.core.errors",
    "PrunedModel": "n2nsurgery.surgery.pruned_model",
    "SkipSpec": "n2nsurgery.skips.spec",
    "SurgeryConfig": "n2nsurgery.surgery.planning.config",
    "SurgeryPlan": "n2nsurgery.surgery.planning.plan",
    "SurgeryRecord": "n2nsurgery.surgery.record",
    "apply": "n2nsurgery.pipelines.prune.apply",
    "export_onnx": "n2nsurgery.pipelines.deploy.export",
    "inspect": "n2nsurgery.pipelines.prune.inspect",
    "load": "n2nsurgery.pipelines.saved.load",
    "diff": "n2nsurgery.pipelines.python.report",
    "evaluate": "n2nsurgery.pipelines.python.evaluate",
    "report": "n2nsurgery.pipelines.python.report",
    "train": "n2nsurgery.pipelines.python.train",
    "Callbacks": "n2nsurgery.training.loop.events",
}
_RENAMED = {"Operated": "PrunedModel"}
__all__ = [  # noqa: RUF022 - the verbs first
    "apply", "train", "evaluate", "report", "diff", "load", "inspect", "export_onnx",
    "Callbacks",
    "MaskSet", "N2NSurgeryError", "PrunedModel", "SkipSpec", "SurgeryConfig", "SurgeryPlan", "SurgeryRecord",
]  # fmt: skip


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    if name in _RENAMED:
        warnings.warn(f"n2nsurgery.{name} is now n2nsurgery.{_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        name = _RENAMED[name]
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    # n2nsurgery.masks, n2nsurgery.graph, ... without a second import statement
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
