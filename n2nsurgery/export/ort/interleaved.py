"""Times of computations that take turns, so that whatever the machine does meanwhile meets all.

A turn runs twice and the second run counts: the first brings back to the caches what the others drove out, and a
model that is deployed has them for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

_WARM_UP = 2
_MOST_ROUNDS = 400


def run_interleaved(runs: Sequence[Callable[[], object]], *, seconds: float, rounds: int) -> NDArray[np.float64]:
    """Seconds of every run (runs x rounds); the order is reversed in every second round.

    Goes on for `seconds`, and for `rounds` at least.
    """
    for run in runs:
        warm_up(run)
    return take_turns([partial(timed_turn, run) for run in runs], seconds=seconds, rounds=rounds)


def take_turns(turns: Sequence[Callable[[], float]], *, seconds: float, rounds: int) -> NDArray[np.float64]:
    """As `run_interleaved`, of turns that say themselves how many seconds they took."""
    times: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(times) < rounds or (len(times) < _MOST_ROUNDS and time.perf_counter() < end):
        turn = [0.0] * len(turns)
        order = range(len(turns)) if len(times) % 2 == 0 else reversed(range(len(turns)))
        for index in order:
            turn[index] = turns[index]()
        times.append(turn)
    return np.array(times).T


def warm_up(run: Callable[[], object]) -> None:
    """The first runs, which count nowhere."""
    for _ in range(_WARM_UP):
        run()


def timed_turn(run: Callable[[], object]) -> float:
    """Seconds of the second of two runs."""
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
