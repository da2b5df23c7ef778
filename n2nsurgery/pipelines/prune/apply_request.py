"""ApplyRequest: what was asked of `apply`, checked as far as it can be without looking at a model.

Pure values: importing this needs no torch, so a mistyped option is reported before anything slow is loaded. Names
that live in registries (models, criteria) and patterns are checked where the registries are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Literal

from n2nsurgery.core.errors import UsageError
from n2nsurgery.surgery.planning.request import SurgeryRequest

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True, kw_only=True)
class ApplyRequest(SurgeryRequest):
    """One call of `apply`: a SurgeryRequest, the model it is for, and where and how the work is done.

    `input_size` is the shape of one sample. Raises UsageError for values out of range, unknown or in contradiction.
    """

    model: str
    weights: str | None = None
    download: bool = False
    num_classes: int | None = None
    input_size: tuple[int, ...] | None = None
    seed: int = 0
    device: str = "auto"
    output: Path | None = None
    overwrite: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least({"num_classes": 1, "seed": 0})
        require_device(self.device)

    @staticmethod
    def spelled(field: str) -> str:
        """How messages name a field: as the option of the command line."""
        return "--" + field.replace("_", "-")


def require_device(name: str) -> None:
    """Return where `name` is that of a device; raises UsageError."""
    if not _DEVICE.fullmatch(name):
        raise UsageError(f"--device is '{name}'; it must be auto, cpu, cuda or cuda:N")


def parse_skip_ratio(text: str) -> float | Literal["auto"]:
    """A skip ratio from text: a number or "auto"; raises UsageError."""
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--skip-ratio is '{text}'; it must be in [0, 1) or 'auto'") from None


def parse_input_size(text: str) -> tuple[int, ...]:
    """The shape of one sample from text like `3x224x224`; raises UsageError."""
    if not re.fullmatch(r"[1-9]\d{0,6}(x[1-9]\d{0,6})*", text):
        raise UsageError(f"--input-size is '{text}'; it must be the shape of one sample, like 3x224x224")
    return tuple(int(size) for size in text.split("x"))


def parse_layer_value(text: str, field: str) -> tuple[str, float]:
    """(layer pattern, number) from text like `classifier.0=4`; raises UsageError."""
    layer, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = nan
    if not layer or not isfinite(value):
        raise UsageError(f"{ApplyRequest.spelled(field)} is '{text}'; it must be LAYER=NUMBER, like classifier.0=4")
    return layer, value


def parse_fan_out(text: str) -> tuple[str, int]:
    """(layer pattern, fan-out) from text like `classifier.0=4`; raises UsageError."""
    layer, value = parse_layer_value(text, "fan_out")
    if value != int(value):
        raise UsageError(f"--fan-out is '{text}'; a fan-out is a whole number of connections")
    return layer, int(value)
