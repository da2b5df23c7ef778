"""SIGINT, SIGTERM and SIGUSR1 (Slurm's warning): a wish that the loop grants, or the end where nothing can be lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from n2nsurgery.core.errors import InterruptionError

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


@contextmanager
def stop_requests() -> Iterator[Callable[[], str | None]]:
    """A function that returns the name of the signal received so far, or None; a second signal acts at once.

    Outside of the main thread, where Python lets nobody handle signals, it always returns None.
    """
    received: list[str] = []

    def note(number: int, _frame: FrameType | None, restore: Callable[[], None]) -> None:
        received.append(signal.Signals(number).name)
        restore()

    with _handled(note):
        yield lambda: received[0] if received else None


@contextmanager
def stops_at_once(message: str) -> Iterator[None]:
    """Inside, a signal raises InterruptionError: `interrupted by SIGTERM` and `message`.

    `stop_requests` inside of it takes its place for a while.
    """

    def stop(number: int, _frame: FrameType | None, restore: Callable[[], None]) -> None:
        restore()
        raise InterruptionError(f"interrupted by {signal.Signals(number).name} {message}")

    with _handled(stop):
        yield


@contextmanager
def _handled(handle: Callable[[int, FrameType | None, Callable[[], None]], None]) -> Iterator[None]:
    """Inside, signals go to `handle`, with a function that puts back the handlers from before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What the shell told us to ignore (nohup, jobs in the background) stays ignored.
    before = {number: old for number in _SIGNALS if (old := signal.getsignal(number)) not in {None, signal.SIG_IGN}}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, lambda number, frame: handle(number, frame, restore))
    try:
        yield
    finally:
        restore()
