"""SIGINT and SIGTERM as a wish that the loop grants at its next step boundary; a second one acts at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_requests() -> Iterator[Callable[[], str | None]]:
    """A function that returns the name of the signal received so far, or None.

    Outside of the main thread, where Python lets nobody handle signals, it always returns None.
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    # What the shell told us to ignore (nohup, jobs in the background) stays ignored.
    before = {number: old for number in _SIGNALS if (old := signal.getsignal(number)) not in {None, signal.SIG_IGN}}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: received[0] if received else None
    finally:
        restore()
