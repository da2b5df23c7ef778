"""A metric as a figure for people: fractions in per cent, other numbers with four digits."""

from __future__ import annotations

_NAMES = {
    "top1": "accuracy",
    "top5": "top 5",
    "mean-iou": "mean IoU",
    "mean-average-precision": "mAP",
    "f1": "F1",
    "macro-f1": "macro F1",
    "r2": "R2",
}
_FRACTIONS = frozenset({
    "top1", "top5", "mean-iou", "pixel-accuracy", "mean-average-precision", "f1", "macro-f1", "exact-match",
})  # fmt: skip


def metric_label(name: str) -> str:
    """The metric called `name` in words."""
    return _NAMES.get(name, name.replace("-", " "))


def metric_figure(name: str, value: float | None, *, digits: int = 1) -> str:
    """`47.0 %`, with `digits` decimals, of a fraction; `0.4702` of any other number."""
    if value is None:
        return "not finite"
    return f"{100 * value:.{digits}f} %" if name in _FRACTIONS else f"{value:.4g}"
