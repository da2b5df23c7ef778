"""Latency of sparse against dense, whole networks in ONNX Runtime, interleaved in one process.

python bench.py resnet50 --density 0.02 0.05 0.1 [--kind block4] [--isa avx2] [--threads 2] [--batch 8] [--layers]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from networks import pair

from n2nsurgery import runtime


def session(model: bytes, threads: int, *, library: bool, profile: str = "") -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    if library:
        runtime.register(options)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def timed(run: onnxruntime.InferenceSession, feeds: dict) -> float:
    begin = time.perf_counter()
    run.run(None, feeds)
    return time.perf_counter() - begin


def first_over_warm(model: bytes, feeds: dict, threads: int, *, library: bool) -> float:
    """First inference of a fresh session over its later ones: the median of several sessions."""
    ratios = []
    for _ in range(7):
        fresh = session(model, threads, library=library)
        first = timed(fresh, feeds)
        fresh.run(None, feeds)
        ratios.append(first / np.median([timed(fresh, feeds) for _ in range(5)]))
    return float(np.median(ratios))


def measure(name: str, density: float, options: argparse.Namespace) -> None:
    kind, threads, batch = options.kind, options.threads, options.batch
    dense_model, sparse_model = pair(name, density, kind)
    dense = session(dense_model.SerializeToString(), threads, library=False)
    begin = time.perf_counter()
    sparse = session(sparse_model.SerializeToString(), threads, library=True)
    load = time.perf_counter() - begin
    x = np.random.default_rng(1).standard_normal((batch, 3, 224, 224)).astype(np.float32)
    feeds = {dense.get_inputs()[0].name: x}
    expected = dense.run(None, feeds)[0]
    actual = sparse.run(None, feeds)[0]
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    for _ in range(2):
        sparse.run(None, feeds)
    ratios, times = [], []
    for _ in range(options.rounds):
        dense_time = timed(dense, feeds)
        sparse.run(None, feeds)  # a dense run leaves the caches full of its weights
        sparse_times = [timed(sparse, feeds) for _ in range(3)]
        ratios.append(dense_time / np.median(sparse_times))
        times.append((dense_time, np.median(sparse_times)))
    dense_ms, sparse_ms = 1e3 * np.median([t[0] for t in times]), 1e3 * np.median([t[1] for t in times])
    spread = np.percentile(ratios, [25, 75])
    first = first_over_warm(sparse_model.SerializeToString(), feeds, threads, library=True)
    dense_first = first_over_warm(dense_model.SerializeToString(), feeds, threads, library=False)
    print(
        f"{name} {kind} {density:g} threads {threads} batch {batch}: ratio {np.median(ratios):.2f} "
        f"[{spread[0]:.2f} {spread[1]:.2f}] dense {dense_ms:.1f} ms sparse {sparse_ms:.2f} ms "
        f"first {first:.2f}x (dense {dense_first:.2f}x) load {load:.2f} s error {error:.1e}",
        flush=True,
    )
    if options.layers:
        layer_table(dense_model.SerializeToString(), sparse_model.SerializeToString(), feeds, threads)


def layer_times(model: bytes, feeds: dict, threads: int, *, library: bool) -> dict[str, float]:
    run = session(model, threads, library=library, profile=str(Path(tempfile.gettempdir()) / "n2nsurgery-profile"))
    for _ in range(12):
        run.run(None, feeds)
    path = Path(run.end_profiling())
    samples: dict[str, list[float]] = {}
    for event in json.loads(path.read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            samples.setdefault(event["name"], []).append(event["dur"])
    path.unlink()
    return {name.removesuffix("_kernel_time"): float(np.median(values[2:])) for name, values in samples.items()}


def layer_table(dense: bytes, sparse: bytes, feeds: dict, threads: int) -> None:
    dense_times = layer_times(dense, feeds, threads, library=False)
    sparse_times = layer_times(sparse, feeds, threads, library=True)
    for name, micros in sparse_times.items():
        print(f"  {name:40s} sparse {micros:8.0f} us   dense {dense_times.get(name, float('nan')):8.0f} us")
    print(f"  total sparse {sum(sparse_times.values()):.0f} us dense {sum(dense_times.values()):.0f} us")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("network")
    parser.add_argument("--density", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    parser.add_argument("--kind", default="uniform")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--isa", default="")
    parser.add_argument("--layers", action="store_true")
    arguments = parser.parse_args()
    if arguments.isa:
        os.environ["N2NSURGERY_ISA"] = arguments.isa
    for density in arguments.density:
        measure(arguments.network, density, arguments)


if __name__ == "__main__":
    main()
