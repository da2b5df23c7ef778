"""A metric as a figure for people: fractions in per cent, other numbers with four digits."""

from __future__ import annotations

_NAMES = {"top1": "accuracy", "top5": "top 5", "mean_iou": "mean IoU", "pixel_accuracy": "pixel accuracy", "r2": "R2"}
_NUMBERS = frozenset({"loss", "rmse", "mae", "r2"})


def metric_label(name: str) -> str:
    """The metric called `name` in words."""
    return _NAMES.get(name, name.replace("_", " "))


def metric_figure(name: str, value: float | None, *, digits: int = 1) -> str:
    """`47.0 %`, with `digits` decimals, of a fraction; `0.4702` of any other number."""
    if value is None:
        return "not finite"
    fraction = name not in _NUMBERS and (name in _NAMES or name in {"f1", "micro_f1", "exact"})
    return f"{100 * value:.{digits}f} %" if fraction else f"{value:.4g}"
