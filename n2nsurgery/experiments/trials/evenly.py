"""Some of many settings, evenly spread."""

from __future__ import annotations

from collections.abc import Sequence

FanOutSetting = tuple[int, ...]


def evenly(
    settings: Sequence[FanOutSetting], count: int, always: Sequence[FanOutSetting] = ()
) -> tuple[FanOutSetting, ...]:
    """About `count` of `settings`, evenly spread with both ends, and those of `always`; in their order."""
    count = min(count, len(settings))
    chosen = {settings[round((len(settings) - 1) * place / max(1, count - 1))] for place in range(count)}
    return tuple(one for one in settings if one in chosen or one in always)
