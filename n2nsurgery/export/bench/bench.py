"""How fast a file runs in ONNX Runtime, beside another file, or beside itself without the sparse runtime.

Both sides take turns, A B B A: whatever the machine does meanwhile meets both. With one thread they live in one
process; with several each has a process of its own, so that neither's threads take the cores from the other. The ratio
of a turn is time of the other side over time of the model, so 2 means twice as fast; its median and quartiles are
reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.core.errors import VerificationError
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.export.bench.bench_layers import LayerTime, layer_times
from n2nsurgery.export.bench.bench_load import Loading, measure_loading
from n2nsurgery.export.bench.bench_process import turns_in_process
from n2nsurgery.export.bench.bench_settings import BenchSettings, Side, inputs_for, opened
from n2nsurgery.export.files.onnx_file import ModelFiles
from n2nsurgery.export.ort.interleaved import run_interleaved, take_turns
from n2nsurgery.export.proof.inspect_file import inspect_file
from n2nsurgery.imports import extra

with extra("cpu", "an ONNX Runtime session"):
    import onnxruntime


@dataclass(frozen=True, kw_only=True)
class SideReport:
    """`latency`: (first quartile, median, third quartile) in seconds; `size` and `ideal_size` in bytes."""

    path: Path
    libraries: tuple[Path, ...]
    latency: tuple[float, float, float]
    size: int
    ideal_size: float
    loading: Loading
    layers: tuple[LayerTime, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {**asdict(self), "path": str(self.path), "libraries": [str(library) for library in self.libraries]}


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """The model, what it was compared with, and the quartiles of how many times faster it is."""

    settings: BenchSettings
    onnxruntime: str
    rounds: int
    model: SideReport
    other: SideReport | None
    ratio: tuple[float, float, float] | None

    def to_json(self) -> dict[str, Any]:
        """The document that `bench --json` prints."""
        return {
            **asdict(self),
            "model": self.model.to_json(),
            "other": self.other.to_json() if self.other is not None else None,
        }


def bench(model: Side, other: Side | None, settings: BenchSettings, *, progress: Progress = SILENT) -> BenchReport:
    """Times `model`, taking turns with `other` where there is one.

    Raises RunError where the device's provider does not load, VerificationError where a model does not, UsageError
    where the batch does not fit it.
    """
    sides = [side for side in (model, other) if side is not None]
    progress("loading", 0.1)
    runs = [_runner(opened(side, settings), settings) for side in sides]  # what fails is told from here
    loadings = [measure_loading(side, settings) for side in sides]
    progress("running in turn", 0.3)
    times = _times(sides, runs, settings)
    progress("measuring layers" if settings.layers else "done", 0.9)
    reports = [_report(side, own, loading, settings) for side, own, loading in zip(sides, times, loadings, strict=True)]
    return BenchReport(
        settings=settings,
        onnxruntime=onnxruntime.__version__,
        rounds=times.shape[1],
        model=reports[0],
        other=reports[1] if other is not None else None,
        ratio=_quartiles(times[1] / times[0]) if other is not None else None,
    )


def _times(sides: Sequence[Side], runs: Sequence[Callable[[], object]], settings: BenchSettings) -> NDArray[np.float64]:
    """Seconds (sides x rounds) of turns."""
    if settings.threads == 1 or settings.device != "cpu":
        return run_interleaved(runs, seconds=settings.seconds, rounds=settings.rounds)
    with ExitStack() as processes:
        turns = [processes.enter_context(turns_in_process(side, settings)) for side in sides]
        return take_turns(turns, seconds=settings.seconds, rounds=settings.rounds)


def _runner(held: onnxruntime.InferenceSession, settings: BenchSettings) -> Callable[[], object]:
    feed = inputs_for(held, settings)
    try:
        held.run(None, feed)
    except Exception as error:  # ONNX Runtime's exceptions share no other base class
        given = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in settings.input_shapes.items())
        where = f"with {given}" if given else f"at batch size {settings.batch}"
        raise VerificationError(f"ONNX Runtime fails {where}: {error}") from error
    return lambda: held.run(None, feed)


def _report(side: Side, times: np.ndarray, loading: Loading, settings: BenchSettings) -> SideReport:
    return SideReport(
        path=side.path,
        libraries=side.libraries,
        latency=_quartiles(times),
        size=ModelFiles(model=side.path).size,
        ideal_size=inspect_file(side.path).ideal_size,
        loading=loading,
        layers=layer_times(side, settings) if settings.layers else (),
    )


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)
