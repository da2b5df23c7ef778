"""One ONNX file with several numbers of threads, by the clock.

    uv run python benchmarks/threads.py FILE [--threads 1 2 4] [--rounds 40] [--dense]

Each number of threads has a session in a process of its own. They take turns, and each turn begins with a pause in
which the threads of the others fall asleep. Printed are milliseconds, and the ratio of the first number's time to each:
median [quartiles] over the rounds. With `--dense` ONNX Runtime computes without the sparse runtime.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from n2nsurgery.export.bench.bench_process import turns_in_process
from n2nsurgery.export.bench.bench_settings import BenchSettings, Side
from n2nsurgery.export.ort.interleaved import take_turns
from n2nsurgery.runtime import library_path

QUARTILES = (0.25, 0.5, 0.75)


def main() -> None:
    """Print a row for each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--dense", action="store_true")
    options = parser.parse_args()
    side = Side(path=options.file, libraries=() if options.dense else (library_path(),))
    with ExitStack() as processes:
        turns = [
            processes.enter_context(turns_in_process(side, BenchSettings(threads=threads)))
            for threads in options.threads
        ]
        times = take_turns(turns, seconds=0, rounds=options.rounds)
    print("| threads | ms | times as fast as the first |\n| --- | --- | --- |")
    for threads, own in zip(options.threads, times, strict=True):
        low, ratio, high = np.quantile(times[0] / own, QUARTILES)
        print(f"| {threads} | {1000 * np.median(own):.2f} | {ratio:.2f} [{low:.2f}, {high:.2f}] |")


if __name__ == "__main__":
    main()
