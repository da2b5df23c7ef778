"""Presets: values that stand in place of SurgeryConfig's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from n2nsurgery.core.names import unknown

Preset = Literal["paper", "accurate", "fast"]
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {
            "skip_pattern": "random",
            "skip_ratio": 0.5,
            "skip_kernel": "target",
            "skip_norm": "never",
            "skip_placement": "all",
        },
        "accurate": {"skip": "residual"},
        "fast": {"skip": "none"},
    }
)
"""What a preset puts in place of defaults. `paper`: Eq. 2 to the letter, beside shortcuts too. `accurate`: the most
accurate network that does not change in training, as far as was measured. `fast`: no node beside the layers."""
PRESET_HELP = "paper: as in the N2NSkip paper; accurate: erk and skips without weights; fast: uniform, no skips"
_RANDOM = frozenset({"random", "rp"})
_ALLOCATIONS: Mapping[str, str] = MappingProxyType({"paper": "uniform", "accurate": "erk", "fast": "uniform"})
"""For `random`; criteria that score take no allocation."""


def with_preset(preset: Preset | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes`, which name a criterion, with a preset's values where they say nothing; raises UnknownNameError."""
    if preset is None:
        return dict(changes)
    if preset not in PRESETS:
        raise unknown("preset", preset, tuple(PRESETS), field="preset")
    base = dict(PRESETS[preset])
    if changes["criterion"] in _RANDOM and "allocation" not in changes.get("criterion_options", {}):
        base["allocation"] = _ALLOCATIONS[preset]
    if changes.get("skip", "n2n") != "n2n":
        base.pop("skip_ratio", None)  # the other kinds hold no weights
    return base | dict(changes)
