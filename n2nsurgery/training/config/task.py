"""Tasks: the loss and the metrics that a kind of problem is trained and judged by, unless others are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TaskName = Literal["classification", "multilabel", "segmentation", "regression"]
_VOID = {"ignore_index": 255}  # the label of pixels that do not count in PASCAL VOC and Cityscapes


@dataclass(frozen=True, kw_only=True)
class Task:
    """Names of registered members, and options that differ from their defaults; the first metric ranks checkpoints."""

    loss: str
    metrics: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


TASKS: Mapping[TaskName, Task] = {
    "classification": Task(loss="cross-entropy", metrics=("top1", "top5")),
    "multilabel": Task(loss="bce-with-logits", metrics=("mean-average-precision", "macro-f1", "f1", "exact-match")),
    "segmentation": Task(
        loss="cross-entropy",
        metrics=("mean-iou", "pixel-accuracy"),
        options={"cross-entropy": _VOID, "mean-iou": _VOID, "pixel-accuracy": _VOID},
    ),
    "regression": Task(loss="mse", metrics=("rmse", "mae", "r2")),
}
