"""Progress: how far a run is, how fast, and how long it will still take."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StepProgress:
    """After step `step` of `steps`, in epoch `epoch` (from 1) of `epochs`; samples over all processes.

    `lr`: that of the step. `loss`: the mean training loss of the epoch so far, every `log_every` steps, None otherwise:
    a GPU has to be waited for where it is asked.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    lr: float
    loss: float | None
    images_per_second: float
    seconds_left: float


class Throughput:
    """Counts samples and steps since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._samples = 0
        self._steps = 0

    def add(self, samples: int) -> None:
        """Take in one step."""
        self._samples += samples
        self._steps += 1

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    @property
    def images_per_second(self) -> float:
        """Samples per second so far."""
        return self._samples / max(self.seconds, 1e-9)

    def seconds_for(self, steps: int) -> float:
        """Seconds that `steps` more steps take at the mean pace so far."""
        return steps * self.seconds / max(1, self._steps)
