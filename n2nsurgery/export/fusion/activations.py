"""The activations that a sparse node can apply to its result, each a function of one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

ActivationName = Literal["Relu", "Clip", "LeakyRelu", "HardSwish", "Silu", "Gelu", "TanhGelu"]

SETTINGS: Mapping[str, tuple[str, ...]] = MappingProxyType({"Clip": ("low", "high"), "LeakyRelu": ("slope",)})
"""The attributes of a node with such an activation, in their order."""


@dataclass(frozen=True, kw_only=True)
class Activation:
    """One activation and its settings, which become attributes of the node; see SETTINGS."""

    name: ActivationName
    settings: Mapping[str, float] = field(default_factory=dict)


Points = NDArray[np.float64]

_TANH_GELU = 0.044715


def _hard_swish(x: Points) -> Points:
    result: Points = x * np.clip(x / 6 + 0.5, 0, 1)
    return result


def _silu(x: Points) -> Points:
    result: Points = x * special.expit(x)
    return result


def _gelu(x: Points) -> Points:
    """Hendrycks and Gimpel, "Gaussian error linear units", 2016, section 2."""
    result: Points = x * special.ndtr(x)
    return result


def _tanh_gelu(x: Points) -> Points:
    """The approximation of the same section."""
    result: Points = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + _TANH_GELU * x**3)))
    return result


FORMULAS: Mapping[ActivationName, Callable[[Any], Any]] = MappingProxyType({
    "HardSwish": _hard_swish, "Silu": _silu, "Gelu": _gelu, "TanhGelu": _tanh_gelu,
})  # fmt: skip
"""The activations without settings that exporters write as several operators, in float64."""
