"""Some of many settings, evenly spread."""

from __future__ import annotations

from collections.abc import Sequence

ExperimentConfig = tuple[int, ...]


def evenly(
    settings: Sequence[ExperimentConfig], count: int, always: Sequence[ExperimentConfig] = ()
) -> tuple[ExperimentConfig, ...]:
    """About `count` of `settings`, evenly spread with both ends, and those of `always`; in their order."""
    count = min(count, len(settings))
    chosen = {settings[round((len(settings) - 1) * place / max(1, count - 1))] for place in range(count)}
    return tuple(one for one in settings if one in chosen or one in always)
