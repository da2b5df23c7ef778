"""What only a GPU can tell, in eight minutes on one card: tests, training steps, NCCL, ONNX Runtime on CUDA.

    uv run python benchmarks/gpu.py                 one CUDA device; prints the rows of docs/benchmarks.md
    uv run python benchmarks/gpu.py --tiny          the same code on a CPU in seconds; its figures mean nothing

Four parts, each with its share of the time; a part that fails or runs out of time says so and the others go on.

tests       the tests that are marked `gpu`
steps       a training step of ResNet50 at 224 pixels in bf16 and channels_last, with and without torch.compile: dense,
            masked by gradient hooks, masked once for each step, and with skips (masked once)
nccl        a group of one process: DistributedDataParallel keeps the masks
deployment  the portable file and the dense one on the CUDA provider, in turns, and how far they are from the CPU
"""

from __future__ import annotations

import argparse
import copy
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import n2nsurgery
from n2nsurgery.export.bench.bench import bench
from n2nsurgery.export.bench.bench_settings import BenchSettings, Side
from n2nsurgery.export.ort.bench_inputs import feed_of
from n2nsurgery.export.ort.providers import session
from n2nsurgery.masks.attachment import enforcer_of
from n2nsurgery.masks.enforcer import MaskEnforcer

ROOT = Path(__file__).resolve().parents[1]
DENSITY = 0.05
WARM_UP = 3


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The size of everything; `limit`: seconds for all parts together."""

    device: str
    model: str
    size: int
    batch: int
    steps: int
    limit: float
    tests: tuple[str, ...]
    backend: str
    compiler: str

    @property
    def name(self) -> str:
        """The card, or that it is none."""
        return torch.cuda.get_device_name() if self.device == "cuda" else "CPU, tiny: the figures mean nothing"


CARD = Setting(
    device="cuda",
    model="resnet50",
    size=224,
    batch=128,
    steps=20,
    limit=470,
    tests=("tests",),
    backend="nccl",
    compiler="inductor",
)
TINY = Setting(
    device="cpu", model="cifar-tiny-resnet", size=32, batch=2, steps=2, limit=300,
    tests=("tests/unit/surgery/engines/test_graft.py",), backend="gloo", compiler="eager",
)  # fmt: skip


class Clock:
    """Seconds that are left of a limit."""

    def __init__(self, limit: float) -> None:
        self._end = time.monotonic() + limit

    @property
    def left(self) -> float:
        """Seconds until the limit, negative after it."""
        return self._end - time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts one after the other; 1 where one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on the CPU, to try the script")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args(arguments)
    if not options.tiny and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here; --tiny tries the script on a CPU")
    setting = TINY if options.tiny else CARD
    print(f"{setting.name}; torch {torch.__version__}")
    clock, failed = Clock(setting.limit), []
    for name in options.parts:
        print(f"\n{name}", flush=True)
        try:
            for line in PARTS[name](setting, clock):
                print(line, flush=True)
        except Exception as error:  # noqa: BLE001 - the other parts are wanted all the same
            print(f"failed: {type(error).__name__}: {error}")
            failed.append(name)
    print(f"\n{setting.limit - clock.left:.0f} s" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def run_tests(setting: Setting, clock: Clock) -> Iterator[str]:
    """The last line of pytest. Raises RuntimeError where a test failed or none ran."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu" if setting.device == "cuda" else "not gpu"]
    finished = subprocess.run(
        [*command, "-p", "no:cacheprovider", *setting.tests],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=min(150, max(1, clock.left)),
    )  # fmt: skip
    if finished.returncode:
        raise RuntimeError(finished.stdout[-2000:] + finished.stderr[-2000:])
    yield finished.stdout.strip().splitlines()[-1]


def measure_steps(setting: Setting, clock: Clock) -> Iterator[str]:
    """A row for each network, without torch.compile and with it."""
    yield "| network | compiled | ms per step | of dense | images per second | peak memory, GB |"
    yield "|---|---|---|---|---|---|"
    compared = networks(setting)
    for compiled in (False, True):
        dense: float | None = None
        for name, (module, enforcer) in compared.items():
            if clock.left < (90 if setting.device == "cuda" else 0):
                yield f"| {name} | {'yes' if compiled else 'no'} | not measured: the time is over | | | |"
                continue
            seconds, memory = step_seconds(module, enforcer, setting, compiled=compiled)
            dense = dense or seconds
            yield (
                f"| {name} | {'yes' if compiled else 'no'} | {1000 * seconds:.2f} | {seconds / dense:.3f} | "
                f"{setting.batch / seconds:,.0f} | {memory} |"
            )


def networks(setting: Setting) -> dict[str, tuple[nn.Module, MaskEnforcer | None]]:
    """The four that are compared, dense first; beside each the enforcer whose masks the loop applies itself."""
    pruned = n2nsurgery.apply(setting.model, density=DENSITY, skip="none", seed=0).module
    grafted = n2nsurgery.apply(setting.model, density=DENSITY, seed=0).module
    dense, by_hooks = copy.deepcopy(pruned), copy.deepcopy(pruned)
    enforcer_in(dense).release()
    return {
        "dense": (dense, None),
        "masked by hooks": (by_hooks, None),
        "masked once a step": (pruned, enforcer_in(pruned)),
        "with skips": (grafted, enforcer_in(grafted)),
    }


def enforcer_in(module: nn.Module) -> MaskEnforcer:
    """The enforcer of a pruned module."""
    enforcer = enforcer_of(module)
    assert enforcer is not None
    return enforcer


def step_seconds(
    module: nn.Module, enforcer: MaskEnforcer | None, setting: Setting, *, compiled: bool
) -> tuple[float, str]:
    """The median of a training step in seconds, and the peak of the memory in GB ("-" on a CPU)."""
    device = torch.device(setting.device)
    module = module.train().to(device, memory_format=torch.channels_last)
    if enforcer is not None:
        enforcer.bind(module)  # the masks take the layout that the weights have now
    optimizer = torch.optim.SGD(
        module.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
    )
    images = torch.randn(setting.batch, 3, setting.size, setting.size, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(setting.batch, device=device) % 10
    network = torch.compile(module, backend=setting.compiler) if compiled else module

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(setting.device, torch.bfloat16):
            outputs = network(images)
        nn.functional.cross_entropy(outputs.float(), labels).backward()
        if enforcer is not None:
            enforcer.mask_gradients()
        optimizer.step()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with enforcer.suspended() if enforcer is not None else nullcontext():
        for _ in range(WARM_UP):
            step()
        seconds = statistics.median(timed(step, device) for _ in range(setting.steps))
    if enforcer is not None:
        enforcer.require_zero(optimizer)
    return seconds, f"{torch.cuda.max_memory_allocated() / 1e9:.1f}" if device.type == "cuda" else "-"


def timed(step: Callable[[], object], device: torch.device) -> float:
    """Seconds of one step, from an idle device to an idle device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def try_nccl(setting: Setting, _: Clock) -> Iterator[str]:
    """What a group of one process gives: steps under DistributedDataParallel, after which pruned weights are zero."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    distributed.init_process_group(setting.backend, init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    try:
        device = torch.device(setting.device)
        module = n2nsurgery.apply(setting.model, density=DENSITY, seed=0).module.train().to(device)
        network = DistributedDataParallel(module)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        images = torch.randn(min(setting.batch, 16), 3, setting.size, setting.size, device=device)
        for _step in range(WARM_UP):
            optimizer.zero_grad()
            network(images).square().mean().backward()
            optimizer.step()
        enforcer_in(module).require_zero(optimizer)
        total = torch.ones((), device=device)
        distributed.all_reduce(total)
        assert total.item() == 1
    finally:
        distributed.destroy_process_group()
    yield f"{setting.backend}, one process: {WARM_UP} steps, every pruned weight and its momentum are zero"


def measure_deployment(setting: Setting, clock: Clock) -> Iterator[str]:
    """A row that compares the two files on the device, and the largest difference from the CPU."""
    pruned = n2nsurgery.apply(setting.model, density=DENSITY, seed=0)
    with tempfile.TemporaryDirectory(prefix="n2nsurgery-") as folder:
        files = {name: Path(folder, f"{name}.onnx") for name in ("portable", "dense")}
        for name, path in files.items():
            n2nsurgery.export_onnx(pruned, path, format=name)
        settings = BenchSettings(device=setting.device, batch=1, seconds=min(10, max(0, clock.left)), rounds=3)
        report = bench(Side(path=files["portable"]), Side(path=files["dense"]), settings)
        assert report.other is not None
        assert report.ratio is not None
        yield "| file | provider | ms | dense ms | times as fast as dense | largest difference from the CPU |"
        yield "|---|---|---|---|---|---|"
        yield (
            f"| portable | {setting.device} | {1000 * report.model.latency[1]:.2f} | "
            f"{1000 * report.other.latency[1]:.2f} | {report.ratio[1]:.2f} [{report.ratio[0]:.2f}, "
            f"{report.ratio[2]:.2f}] | {difference(files['portable'], setting.device):.1e} of the largest output |"
        )


def difference(path: Path, device: str) -> float:
    """The largest difference between `device` and the CPU, of the largest output."""
    on_device, on_cpu = (session(path, device=name) for name in (device, "cpu"))
    feed = feed_of(on_cpu, 2)
    found, expected = on_device.run(None, feed)[0], on_cpu.run(None, feed)[0]
    return float(abs(found - expected).max() / abs(expected).max())


PARTS: dict[str, Callable[[Setting, Clock], Iterator[str]]] = {
    "nccl": try_nccl,
    "steps": measure_steps,
    "deployment": measure_deployment,
    "tests": run_tests,
}

if __name__ == "__main__":
    raise SystemExit(main())
