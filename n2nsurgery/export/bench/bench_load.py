"""Loading a model in a process of its own, so that its memory is measured apart from everything else's.

Run as a program with one argument, a JSON request; it answers with one line of JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from n2nsurgery.core.errors import RunError
from n2nsurgery.export.ort.bench_inputs import feed_of
from n2nsurgery.export.ort.interleaved import run_interleaved
from n2nsurgery.export.ort.providers import session

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


def measure_loading(path: Path, *, device: str, threads: int | None, batch: int, libraries: Sequence[Path]) -> Loading:
    """Load `path` in a new process and run it once; RunError where the process fails."""
    request = {
        "path": str(path),
        "device": device,
        "threads": threads,
        "batch": batch,
        "libraries": [str(library) for library in libraries],
    }
    command = [sys.executable, "-m", "n2nsurgery.export.bench.bench_load", json.dumps(request)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)  # noqa: S603
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"'{path}' cannot be loaded in a process of its own: {last}")
    return Loading(**json.loads(finished.stdout.strip().splitlines()[-1]))


def _load(request: dict[str, object]) -> Loading:
    path, libraries = Path(str(request["path"])), [Path(name) for name in request["libraries"]]  # type: ignore[attr-defined]
    before, _ = _memory()
    start = time.perf_counter()
    opened = session(path, device=str(request["device"]), threads=request["threads"], libraries=libraries)  # type: ignore[arg-type]
    loaded = time.perf_counter()
    feed = feed_of(opened, int(str(request["batch"])))
    began = time.perf_counter()
    opened.run(None, feed)
    ended = time.perf_counter()
    warm = run_interleaved([lambda: opened.run(None, feed)], seconds=0.0, rounds=_WARM_RUNS)
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
    sys.stdout.write(json.dumps(asdict(_load(json.loads(sys.argv[1])))) + "\n")
