"""Whether some process was asked to stop: they ask each other every two seconds, so a signal is heard within five.

Processes have to ask each other at the same boundary (of a step, of a batch), and each has a clock of its own. So
whenever they ask they also compare how long the boundaries since the last time took: the mean gives the number of
boundaries until the next time, and is the same everywhere. It at most doubles, for the first steps tell little.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from n2nsurgery.core.processes.distributed_context import DistributedContext

_INTERVAL = 2.0  # seconds


class StopAgreement:
    """`stopped`: the name of the signal that this process received, None so far."""

    def __init__(self, processes: DistributedContext, stopped: Callable[[], str | None]) -> None:
        self._processes = processes
        self._stopped = stopped
        self._passed = 0
        self._due = 1
        self._since = time.monotonic()

    def at_boundary(self) -> bool:
        """Whether to stop here; called by every process at every boundary, and asks the others at some of them."""
        if self._processes.size == 1:
            return self._stopped() is not None
        self._passed += 1
        return self._passed >= self._due and self.now()

    def now(self) -> bool:
        """Whether any process was asked to stop; called by every process at this point."""
        if self._processes.size > 1:
            now = time.monotonic()
            elapsed = torch.tensor([now - self._since], dtype=torch.float64)
            seconds = float(self._processes.all_reduce(elapsed)) / self._processes.size
            wanted = int(_INTERVAL * max(1, self._passed) / max(seconds, 1e-9))
            self._due = max(1, min(wanted, 2 * self._due))
            self._passed, self._since = 0, now
        return self._processes.all_reduce_any(self._stopped() is not None)
