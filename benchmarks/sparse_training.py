"""A whole optimizer step trained sparse against torch's dense step of the same network, in turns in one process.

Two dense copies (torch's own order and channels last) and the sparse twin take the same batch one after the other;
who begins goes round. Where a dense step is short, a turn is as many steps in a row as take a tenth of a second dense:
in training, too, a step finds in the caches what the last one left. Printed are CPU seconds and the ratio of the faster
dense step to the sparse one: median [quartiles] over the rounds of the ratio within a round. The dense steps do not
mask their gradients, which would cost more. Each network and each number of threads has a process of its own; with
several threads it is the clock's seconds that count. `--memory` adds the resident memory that one step of each needs at
its peak, in processes of their own.

    uv run python benchmarks/sparse_training.py [--rows vgg19-uniform,...] [--densities 0.1,0.05,0.02] [--threads 1,2]
        [--rounds 7] [--measure] [--memory] [--all-sparse]
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

import n2nsurgery
from n2nsurgery.masks.attachment import enforcer_of
from n2nsurgery.sparse_training import choices_of, sparse_training

Step = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network of the table, with the ratios aimed at for 10 %, 5 % and 2 %."""

    model: str
    targets: tuple[float, float, float]
    allocation: str = "erk"
    skip: str = "none"
    batch: int = 64
    shape: tuple[int, ...] = (3, 32, 32)
    options: Mapping[str, Any] = field(default_factory=dict)


ROWS = {
    "vgg19-uniform": Row(model="cifar-vgg19", allocation="uniform", targets=(3.5, 6, 10)),
    "vgg19-erk": Row(model="cifar-vgg19", targets=(2, 3.5, 7)),
    "vgg19-erk-skips": Row(model="cifar-vgg19", skip="n2n", targets=(1.8, 3, 6)),
    "resnet50-erk": Row(model="cifar-resnet50", targets=(1.5, 2.5, 4)),
    "plain17-recipe": Row(  # recipes/cifar10-small.yaml
        model="cifar-plain17",
        skip="n2n",
        options={"skip_pattern": "random", "skip_kernel": "target", "skip_ratio": 0.5, "skip_length": 3},
        targets=(1, 1, 1),
    ),
    "basic-resnet": Row(model="cifar-basic-resnet", batch=128, targets=(1, 1, 1)),
    "tiny-resnet": Row(model="cifar-tiny-resnet", batch=128, targets=(1, 1, 1)),
    "mlp": Row(model="mlp", allocation="uniform", batch=128, shape=(3072,), targets=(3, 5, 8)),
}
DENSITIES = (0.1, 0.05, 0.02)
_TURN_SECONDS = 0.1


def networks(row: Row, density: float, arguments: argparse.Namespace) -> tuple[dict[str, nn.Module], torch.Tensor]:
    """The dense copies and the sparse twin of one pruned network, in training mode, and a batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(row.batch, *row.shape, generator=generator)
    module = n2nsurgery.apply(
        row.model, density=density, skip=row.skip, allocation=row.allocation, **row.options
    ).module.train()
    enforcer = enforcer_of(module)
    assert enforcer is not None
    dense = copy.deepcopy(module)
    enforcer_of(dense).release()  # no hooks: the dense steps are torch's alone
    made = {"dense": dense}
    if len(row.shape) > 1:
        made["channels last"] = copy.deepcopy(dense).to(memory_format=torch.channels_last)
    made["sparse"] = sparse_training(
        module,
        example=x,
        layers="all" if arguments.all_sparse else "auto",
        measure=arguments.measure and not arguments.all_sparse,
    )
    return made, x


def step_of(name: str, module: nn.Module, x: torch.Tensor) -> Step:
    """One step of SGD with momentum and weight decay, in one pass over the weights, as the trainer makes it."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)
    targets = torch.randint(10, (x.shape[0],), generator=torch.Generator().manual_seed(1))
    if name == "channels last":
        x = x.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), targets).backward()
        optimizer.step()

    return step


def seconds(step: Step, threads: int, count: int = 1) -> float:
    """A step of `count` in a row: seconds of the processor for one thread, of the clock for several."""
    clock = time.process_time if threads == 1 else time.perf_counter
    start = clock()
    for _ in range(count):
        step()
    return (clock() - start) / count


def in_turns(steps: dict[str, Step], rounds: int, threads: int) -> list[dict[str, float]]:
    """Seconds of each step, round by round, after two rounds that warm up."""
    found = []
    seconds(steps["dense"], threads)
    count = max(1, math.ceil(_TURN_SECONDS / seconds(steps["dense"], threads)))
    for number in range(rounds + 2):
        order = list(steps)[number % len(steps) :] + list(steps)[: number % len(steps)]
        measured = {name: seconds(steps[name], threads, count) for name in order}
        found += [measured] if number > 1 else []
    return found


def peak_megabytes(step: Step) -> float:
    """Resident memory that a few steps add at their peak to what is there before them."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - no file of ours
        before = int(file.read().split()[1]) * resource.getpagesize() / 1e6
    for _ in range(3):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 - before


def measure_one(arguments: argparse.Namespace) -> dict[str, Any]:
    """What one process measures: one network at one density with one number of threads."""
    torch.set_num_threads(arguments.child_threads)
    row = ROWS[arguments.child]
    modules, x = networks(row, arguments.child_density, arguments)
    if arguments.child_memory:
        return {"megabytes": peak_megabytes(step_of(arguments.child_memory, modules[arguments.child_memory], x))}
    steps = {name: step_of(name, module, x) for name, module in modules.items()}
    rounds = in_turns(steps, arguments.rounds, arguments.child_threads)
    dense = min(
        (name for name in steps if name != "sparse"), key=lambda name: statistics.median(r[name] for r in rounds)
    )
    choices = choices_of(modules["sparse"])
    return {
        "ratios": sorted(r[dense] / r["sparse"] for r in rounds),
        "dense": statistics.median(r[dense] for r in rounds),
        "sparse": statistics.median(r["sparse"] for r in rounds),
        "layout": dense,
        "layers dense": f"{sum(choice.engine == 'dense' for choice in choices)} of {len(choices)}",
    }


def child(arguments: argparse.Namespace, name: str, density: float, threads: int, memory: str = "") -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", name, "--child-density", str(density)]
    command += ["--child-threads", str(threads), "--rounds", str(arguments.rounds)]
    command += ["--child-memory", memory] if memory else []
    command += ["--measure"] * arguments.measure + ["--all-sparse"] * arguments.all_sparse
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    finished = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found


def report(arguments: argparse.Namespace) -> None:
    """Measure and print the table."""
    head = (
        "| network | density | threads | times as fast | target | dense ms | sparse ms | best layout | layers dense |"
    )
    print(head + (" peak MB, of dense |" if arguments.memory else ""))
    print("|" + " --- |" * (head.count("|") - 1 + arguments.memory))
    for name in arguments.rows.split(","):
        for density in map(float, arguments.densities.split(",")):
            for threads in map(int, arguments.threads.split(",")):
                found = child(arguments, name, density, threads)
                low, middle, high = statistics.quantiles(found["ratios"], n=4)
                target = ROWS[name].targets[DENSITIES.index(density)] if density in DENSITIES else "-"
                line = f"| {name} | {density:g} | {threads} | {middle:.2f} [{low:.2f}, {high:.2f}] | {target} |"
                line += f" {1000 * found['dense']:.1f} | {1000 * found['sparse']:.1f} | {found['layout']} |"
                line += f" {found['layers dense']} |"
                if arguments.memory:
                    sparse, dense = (
                        child(arguments, name, density, 1, memory=m)["megabytes"] for m in ("sparse", "dense")
                    )
                    line += f" {sparse:.0f}, {sparse / dense:.2f} |"
                print(line, flush=True)


def main() -> None:
    """Parse the command line; without --child, start one process after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--densities", default=",".join(map(str, DENSITIES)))
    parser.add_argument("--threads", default="1")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--all-sparse", action="store_true", help="choose the sparse kernels for every layer")
    parser.add_argument("--child", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--child-density", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--child-threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child-memory", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.rows.split(",") if name not in ROWS]:
        parser.error(f"--rows: there is no row {', '.join(map(repr, unknown))}; there are {', '.join(ROWS)}")
    if arguments.child is None:
        report(arguments)
    else:
        print(json.dumps(measure_one(arguments)))


if __name__ == "__main__":
    main()
