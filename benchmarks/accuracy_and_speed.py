"""Accuracy beside speed and size: the methods of `reproduce accuracy`, timed on ONNX Runtime at one sample.

    uv run n2nsurgery reproduce accuracy --scale small --data DIR -o FOLDER
    uv run python benchmarks/accuracy_and_speed.py FOLDER/accuracy.json [--seconds 20]

Accuracy, non-zeros and training time are read from the finished runs of the experiment. Speed and size are those of the
trained network, of the first seed whose run is in FOLDER; where no run is there, those of a network of the same density
with random masks, which may divide its weights among the layers in another way. The table says which. The portable
format; all of a network's files take turns on one thread with its dense file, in CPU time of the process. Prints one
Markdown table for each network, and draws accuracy against milliseconds into FOLDER (accuracy-and-speed.png and .svg).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from compare import cpu_turn

import n2nsurgery
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.experiments.n2nskip.grid import trial_name
from n2nsurgery.experiments.n2nskip.methods import DENSE, surgery_left_by
from n2nsurgery.experiments.paper.panels import Panel, PanelCurve, draw
from n2nsurgery.export.ort.bench_inputs import feed_of
from n2nsurgery.export.ort.interleaved import take_turns, warm_up
from n2nsurgery.export.ort.providers import session
from n2nsurgery.runtime import library_path

_TIME = "CPU milliseconds of one sample on ONNX Runtime"
_ACCURACY = "test accuracy, %"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A method's finished runs, as the experiment's table has them."""

    method: str
    density: float
    accuracy: str  # mean and deviation over the runs, percent
    runs: int
    nonzeros: str
    macs: float  # millions
    seconds: float  # of training, the fastest run

    @property
    def mean(self) -> float:
        """Percent."""
        return float(self.accuracy.split()[0])


def finished(table: dict[str, Any]) -> list[Trained]:
    """The rows that have runs."""
    places = {name: place for place, name in enumerate(table["columns"])}
    names = ("method", "density, %", _ACCURACY, "runs", "non-zeros", "MACs, M", "seconds at best")
    rows = [[row[places[name]] for name in names] for row in table["rows"] if row[places["runs"]]]
    return [
        Trained(
            method=str(method), density=float(percent) / 100, accuracy=str(accuracy), runs=int(runs),
            nonzeros=f"{nonzeros:,}" if isinstance(nonzeros, int) else str(nonzeros), macs=float(macs),
            seconds=float(seconds),
        )
        for method, percent, accuracy, runs, nonzeros, macs, seconds in rows
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TimedFile:
    """What stands for a row on ONNX Runtime."""

    path: Path
    source: str  # what it was exported from: a run of the row as trained, or random masks; or dense


def file_of(row: Trained, model: str, runs: Path, path: Path) -> TimedFile:
    """The file of a row, written to `path`; the dense network's is of the dense format."""
    if row.method == DENSE:
        n2nsurgery.export_onnx(n2nsurgery.apply(model, density=0.05, skip="none"), path, format="dense")
        return TimedFile(path=path, source="dense")
    names = [trial_name(model, data, row.method, row.density) for data in DATA_SETS.names()]
    results = sorted(result for name in names for result in runs.glob(f"{name}-s*.json"))
    kept = [result.with_suffix("") for result in results if (result.with_suffix("") / "checkpoints").is_dir()]
    pruned = (
        n2nsurgery.load(kept[0]) if kept else n2nsurgery.apply(model, config=surgery_left_by(row.method, row.density))
    )
    n2nsurgery.export_onnx(pruned, path)
    return TimedFile(path=path, source="as trained" if kept else "random masks")


def milliseconds(files: list[TimedFile], seconds: float) -> np.ndarray:
    """Of every file in every round (files x rounds), CPU time."""
    sessions = [session(file.path, threads=1, libraries=(library_path(),)) for file in files]
    feed = feed_of(sessions[0], 1)
    runs = [partial(opened.run, None, feed) for opened in sessions]
    for run in runs:
        warm_up(run)
    return 1000 * take_turns([partial(cpu_turn, run) for run in runs], seconds=seconds, rounds=30)


def lines(rows: list[Trained], files: list[TimedFile], times: np.ndarray) -> Iterator[str]:
    """The table's."""
    yield (
        "| method | density, % | test accuracy, % | runs | non-zeros | MACs, M | ms | times as fast as dense |"
        " file kB | timed | training s |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for row, file, own in zip(rows, files, times, strict=True):
        low, middle, high = np.quantile(times[0] / own, [0.25, 0.5, 0.75])
        yield (
            f"| {row.method} | {100 * row.density:g} | {row.accuracy} | {row.runs} | {row.nonzeros} | {row.macs:.3f} |"
            f" {np.median(own):.3f} | {middle:.2f} [{low:.2f}, {high:.2f}] | {file.path.stat().st_size / 1000:.0f} |"
            f" {file.source} | {row.seconds:.0f} |"
        )


def curves(rows: list[Trained], times: np.ndarray, methods: list[str]) -> tuple[PanelCurve, ...]:
    """One for each method, over its densities; each of `methods`, those of all panels, has a colour of its own."""
    medians = np.median(times, axis=1)
    found = []
    for method in dict.fromkeys(row.method for row in rows):
        own = [(float(medians[place]), row.mean) for place, row in enumerate(rows) if row.method == method]
        x, y = zip(*sorted(own), strict=True)
        found.append(PanelCurve(label=method, x=x, y=y, spread=(None,) * len(x), colour=methods.index(method)))
    return tuple(found)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    panels, methods = [], [DENSE]
    for table in json.loads(arguments.results.read_text(encoding="utf-8"))["tables"]:
        rows = finished(table) if _ACCURACY in table["columns"] else []
        if not rows:
            continue
        if rows[0].method != DENSE:  # what the others are compared with
            rows.insert(0, Trained(method=DENSE, density=1, accuracy="nan", runs=0, nonzeros="", macs=0, seconds=0))
        methods = list(dict.fromkeys([*methods, *(row.method for row in rows)]))
        with tempfile.TemporaryDirectory() as folder:
            model, runs = table["title"].split()[0], arguments.results.parent / "cells"
            files = [file_of(row, model, runs, Path(folder, f"{place}.onnx")) for place, row in enumerate(rows)]
            times = milliseconds(files, arguments.seconds)
            print(f"{table['title']}\n", *lines(rows, files, times), "", sep="\n")
        drawn = curves(rows, times, methods)
        panels.append(Panel(title=table["title"], x_label=_TIME, y_label=_ACCURACY, curves=drawn))
    draw(arguments.results.parent, "accuracy-and-speed", panels)


if __name__ == "__main__":
    main()
