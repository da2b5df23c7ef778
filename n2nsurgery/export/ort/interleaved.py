"""Times of computations that take turns in one process, so that whatever the machine does meanwhile meets all.

A turn runs twice and the second run counts: the first brings back to the caches what the others drove out, and a
model that is deployed has them for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

_WARM_UP = 2
_MOST_ROUNDS = 400


def run_interleaved(runs: Sequence[Callable[[], object]], *, seconds: float, rounds: int) -> NDArray[np.float64]:
    """Seconds of every run (runs x rounds); the order is reversed in every second round.

    Goes on for `seconds`, and for `rounds` at least.
    """
    for run in runs:
        for _ in range(_WARM_UP):
            run()
    times: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(times) < rounds or (len(times) < _MOST_ROUNDS and time.perf_counter() < end):
        turn = [0.0] * len(runs)
        order = range(len(runs)) if len(times) % 2 == 0 else reversed(range(len(runs)))
        for index in order:
            runs[index]()
            start = time.perf_counter()
            runs[index]()
            turn[index] = time.perf_counter() - start
        times.append(turn)
    return np.array(times).T
