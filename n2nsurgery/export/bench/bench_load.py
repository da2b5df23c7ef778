"""Loading a model in a process of its own, so that its memory is measured apart from everything else's.

Run as a program with one argument, a JSON request; it answers with one line of JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from n2nsurgery.core.errors import RunError
from n2nsurgery.export.bench.bench_settings import BenchSettings, Side, as_argument, from_argument, inputs_for, opened
from n2nsurgery.export.ort.interleaved import run_interleaved

_TIMEOUT = 600
_WARM_RUNS = 5


@dataclass(frozen=True, kw_only=True)
class Loading:
    """Seconds until a session is open, for the first inference and for a later one; bytes that they added.

    `resident` is what stays, `peak` the most there was in between; None where the system does not tell (only Linux
    does).
    """

    load: float
    first: float
    warm: float
    resident: int | None
    peak: int | None


def measure_loading(side: Side, settings: BenchSettings) -> Loading:
    """Load the file of `side` in a new process and run it once; RunError where the process fails."""
    command = [sys.executable, "-m", "n2nsurgery.export.bench.bench_load", as_argument(side, settings)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)  # noqa: S603
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"'{side.path}' cannot be loaded in a process of its own: {last}")
    return Loading(**json.loads(finished.stdout.strip().splitlines()[-1]))


def _load(side: Side, settings: BenchSettings) -> Loading:
    before, _ = _memory()
    start = time.perf_counter()
    held = opened(side, settings)
    loaded = time.perf_counter()
    feed = inputs_for(held, settings)
    began = time.perf_counter()
    held.run(None, feed)
    ended = time.perf_counter()
    warm = run_interleaved([lambda: held.run(None, feed)], seconds=0.0, rounds=_WARM_RUNS)
    resident, peak = _memory()
    return Loading(
        load=loaded - start,
        first=ended - began,
        warm=float(np.median(warm)),
        resident=resident - before if resident is not None and before is not None else None,
        peak=peak - before if peak is not None and before is not None else None,
    )


def _memory() -> tuple[int | None, int | None]:
    """(resident now, resident at most) in bytes."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None, None
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status.read_text(), re.MULTILINE))
    return int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_load(*from_argument(sys.argv[1])))) + "\n")
