"""Presets: values that stand in the place of SurgeryConfig's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from n2nsurgery.core.names import unknown

Preset = Literal["paper"]
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {
            "skip_pattern": "random",
            "skip_ratio": 0.5,
            "skip_kernel": "target",
            "skip_norm": "never",
            "skip_placement": "all",
        }
    }
)
"""What a preset puts in the place of defaults. `paper`: Eq. 2 to the letter, beside shortcuts too."""
PRESET_HELP = "paper: the literal setting of the N2NSkip paper, where no option says otherwise"
_RANDOM = frozenset({"random", "rp"})
_PRESET_ALLOCATION = "uniform"  # for `random`; the paper's other criterion, `snip`, takes no allocation


def with_preset(preset: Preset | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes`, which name a criterion, with a preset's values where they say nothing; raises UnknownNameError."""
    if preset is None:
        return dict(changes)
    if preset not in PRESETS:
        raise unknown("preset", preset, tuple(PRESETS), field="preset")
    base = dict(PRESETS[preset])
    if changes["criterion"] in _RANDOM and "allocation" not in changes.get("criterion_options", {}):
        base["allocation"] = _PRESET_ALLOCATION
    if changes.get("skip", "n2n") != "n2n":
        del base["skip_ratio"]  # the other kinds hold no weights
    return base | dict(changes)
