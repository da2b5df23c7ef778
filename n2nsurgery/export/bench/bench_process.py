"""A session in a process of its own that runs when it is told to.

The threads of a session go on asking for work for a while after a run. In one process they would take the cores from
the session whose turn it is; here a pause before each turn lets them fall asleep.

Run as a program with one argument, a JSON request: it answers with the seconds of one turn for every line it reads.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from n2nsurgery.core.errors import RunError
from n2nsurgery.export.bench.bench_settings import BenchSettings, Side, as_argument, from_argument, inputs_for, opened
from n2nsurgery.export.ort.interleaved import timed_turn, warm_up

_SETTLING_SECONDS = 0.02  # ONNX Runtime's threads ask for work for some milliseconds
_READY = "ready"


@contextmanager
def turns_in_process(side: Side, settings: BenchSettings) -> Iterator[Callable[[], float]]:
    """A function that runs the file of `side` in a process of its own and gives the seconds of one turn.

    The process ends with the context. Raises RunError where it fails, with the last line that it wrote.
    """
    command = [sys.executable, "-m", "n2nsurgery.export.bench.bench_process", as_argument(side, settings)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        asks, answers = process.stdin, process.stdout

        def answer() -> str:
            line = answers.readline().strip()
            if not line:
                process.wait()
                errors.seek(0)
                last = (errors.read().strip().splitlines() or ["no message"])[-1]
                raise RunError(f"'{side.path}' does not run in a process of its own: {last}")
            return line

        def turn() -> float:
            time.sleep(_SETTLING_SECONDS)
            asks.write("\n")
            asks.flush()
            return float(answer())

        try:
            answer()  # that it is ready
            yield turn
        finally:
            asks.close()  # the process ends when there is nothing more to read


def _serve(side: Side, settings: BenchSettings) -> None:
    held = opened(side, settings)
    feed = inputs_for(held, settings)
    warm_up(lambda: held.run(None, feed))
    _say(_READY)
    for _ in sys.stdin:
        _say(repr(timed_turn(lambda: held.run(None, feed))))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve(*from_argument(sys.argv[1]))
