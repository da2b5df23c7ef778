"""How fast an ONNX file runs, with the sparse runtime and without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.core.validation import above, is_count, require
from n2nsurgery.export.bench.bench import BenchReport, bench
from n2nsurgery.export.bench.bench_settings import BenchSettings, Side
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.input_shapes import shapes_of
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime

_MOST_THREADS = 1024  # a session starts as many at once, each with a stack of its own


def run(  # noqa: PLR0913 - every argument is an option of the command
    model: Path,
    *,
    against: Path | None = None,
    library: Path | None = None,
    device: str = "cpu",
    threads: int = 1,
    batch: int = 1,
    seconds: float = 5.0,
    rounds: int = 10,
    layers: bool = False,
    input_shapes: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = SILENT,
) -> BenchReport:
    """Time `model` against the file `against`, or else against itself without the sparse runtime.

    `library`: the sparse runtime's; the installed one where None. Other devices than the CPU have no sparse kernels
    and run the same file densely. `threads`: up to 1024, 0 for all cores. Turns are taken for `seconds`, for `rounds`
    at least. `input_shapes`: as of CompressConfig, for files with open sizes besides the batch.
    """
    for name, count, least in (("batch", batch, 1), ("rounds", rounds, 1), ("threads", threads, 0)):
        require(is_count(count, least), name, count, f"a whole number from {least}")
    require(threads <= _MOST_THREADS, "threads", threads, f"at most {_MOST_THREADS}")
    require(above(seconds, 0), "seconds", seconds, "a finite number above 0")
    if library is not None and not library.is_file():
        raise UsageError(f"is '{library}', and there is no such file", field="library", joint=" ")
    if library is not None and device != "cpu":
        raise UsageError(f"is for the CPU, and the device is '{device}': leave one out", field="library", joint=" ")
    for path in filter(None, (model, against)):
        load_model(path, weights=False)  # before a session of ONNX Runtime opens it
    libraries = () if device != "cpu" else (library,) if library is not None else sparse_runtime()
    itself = Side(path=model) if libraries else None
    other = Side(path=against, libraries=libraries) if against is not None else itself
    settings = BenchSettings(
        device=device, threads=threads or None, batch=batch, seconds=seconds, rounds=rounds, layers=layers,
        input_shapes=shapes_of(input_shapes),
    )  # fmt: skip
    return bench(Side(path=model, libraries=libraries), other, settings, progress=progress)
