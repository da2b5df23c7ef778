"""Sparse kernels beside what a buyer would run instead: the same network in turns, in one process, on the CPU.

    uv run --with openvino python benchmarks/compare.py resnet50 --density 0.05

Rows are the portable file with the sparse runtime, with `--granularity block1x4` also our own int8, ONNX Runtime's
dense fp32 and its static int8, and OpenVINO's fp32 and int8 where the package openvino is there. All have the same
masks and take turns on the same inputs. int8 is quantized from the pruned network, per channel and symmetric,
calibrated on noise: its speed is that of any calibration, its accuracy is not measured here. Printed are medians in
milliseconds and the ratio of each row's time to the sparse file's, turn by turn, with quartiles; with `--cpu-time` of
the process's CPU time, which scatters less on a busy machine.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import n2nsurgery
from n2nsurgery.export.ort.bench_inputs import feed_of
from n2nsurgery.export.ort.interleaved import run_interleaved, take_turns, warm_up
from n2nsurgery.export.ort.providers import session
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.runtime import library_path

CALIBRATION_RUNS = 4

Feed = dict[str, np.ndarray]


class Noise(CalibrationDataReader):
    """The inputs that are timed, a few times."""

    def __init__(self, feed: Feed) -> None:
        self._left: Iterator[Feed] = iter([feed] * CALIBRATION_RUNS)

    def get_next(self) -> Feed | None:
        return next(self._left, None)


def files(arguments: argparse.Namespace, folder: Path) -> tuple[Path, Path, Path | None]:
    """The portable and the dense file of one pruned network, and the one that computes with integers."""
    bundle = resolve_model(arguments.model, seed=0)
    pruned = n2nsurgery.apply(
        bundle.module, example_inputs=bundle.example_inputs, density=arguments.density, skip=arguments.skip,
        allocation=arguments.allocation, granularity=arguments.granularity,
    )  # fmt: skip
    for form in ("portable", "dense"):
        n2nsurgery.export_onnx(pruned, folder / f"{form}.onnx", format=form)
    if arguments.granularity != "block1x4":
        return folder / "portable.onnx", folder / "dense.onnx", None
    seen = [list(feed_of(session(folder / "dense.onnx"), 1).values())]
    n2nsurgery.export_onnx(pruned, folder / "integers.onnx", values="int8", calibration=seen)
    return folder / "portable.onnx", folder / "dense.onnx", folder / "integers.onnx"


def quantized(dense: Path, feed: Feed) -> Path:
    """The dense file with weights and activations of int8, as QDQ."""
    prepared, target = dense.with_name("prepared.onnx"), dense.with_name("int8.onnx")
    quant_pre_process(dense, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared, target, Noise(feed), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
    )  # fmt: skip
    return target


def cpu_turn(run: Callable[[], Any]) -> float:
    """CPU seconds of the process in the second of two runs."""
    run()
    start = time.process_time()
    run()
    return time.process_time() - start


def in_openvino(path: Path, feed: Feed, threads: int) -> Callable[[], Any]:
    """A run of the file in OpenVINO, one request at a time; f32: what is no int8 is not rounded to bfloat16."""
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = core.read_model(path)
    model.reshape({name: list(array.shape) for name, array in feed.items()})
    request = core.compile_model(model, "CPU", options).create_infer_request()
    return lambda: request.infer(feed, share_inputs=True)


def measured(runs: Sequence[Callable[[], Any]], arguments: argparse.Namespace) -> np.ndarray:
    """Seconds of every run (runs x rounds), of the clock or of the processor."""
    if not arguments.cpu_time:
        return run_interleaved(runs, seconds=arguments.seconds, rounds=10)
    for run in runs:
        warm_up(run)
    return take_turns([partial(cpu_turn, run) for run in runs], seconds=arguments.seconds, rounds=10)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--allocation", default="uniform")
    parser.add_argument("--skip", default="none")
    parser.add_argument("--granularity", default="weight")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        portable, dense, integers = files(arguments, Path(folder))
        feed = feed_of(session(dense), arguments.batch)
        int8 = quantized(dense, feed)

        def in_onnxruntime(path: Path, libraries: tuple[Path, ...] = ()) -> Callable[[], Any]:
            opened = session(path, threads=arguments.threads, libraries=libraries)
            return lambda: opened.run(None, feed)

        rows = {
            "sparse runtime, fp32": in_onnxruntime(portable, (library_path(),)),
            **({} if integers is None else {"sparse runtime, int8": in_onnxruntime(integers, (library_path(),))}),
            "ONNX Runtime, dense fp32": in_onnxruntime(dense),
            "ONNX Runtime, dense int8": in_onnxruntime(int8),
        }
        if find_spec("openvino") is not None:
            rows["OpenVINO, dense fp32"] = in_openvino(dense, feed, arguments.threads)
            rows["OpenVINO, dense int8"] = in_openvino(int8, feed, arguments.threads)
        times = measured(list(rows.values()), arguments)
    print(
        f"{arguments.model}, density {arguments.density}, {arguments.allocation}, skips {arguments.skip},"
        f" batch {arguments.batch}, {arguments.threads} threads, {times.shape[1]} rounds, {platform.machine()}"
    )
    for name, own in zip(rows, times, strict=True):
        low, middle, high = np.quantile(own / times[0], [0.25, 0.5, 0.75])
        print(f"{name:26}{np.median(own) * 1e3:9.2f} ms   {middle:5.2f} ({low:.2f} to {high:.2f}) times the first")


if __name__ == "__main__":
    main()
