"""Progress: how long work tells whoever waits for it where it stands."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the name of a stage and the fraction of the whole that is done, in [0, 1]; it must return quickly."""

    def __call__(self, stage: str, fraction: float, /) -> object:
        """Show that `stage` has begun, when `fraction` of the whole was done."""
        ...


def _silent(_stage: str, _fraction: float) -> None:
    """Show nothing."""


SILENT: Progress = _silent
"""For work that nobody waits for."""


def part_of(progress: Progress, start: float, stop: float) -> Progress:
    """A Progress for a part of the work: its fractions 0 to 1 are shown as `start` to `stop` of `progress`."""
    return lambda stage, fraction: progress(stage, start + (stop - start) * fraction)
