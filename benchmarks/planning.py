"""CPU seconds to trace and plan networks, beside torch.export.export of the same network on the same inputs.

    uv run python benchmarks/planning.py                      # all
    uv run python benchmarks/planning.py resnet50 layers:1000

`layers:N` is a chain of N linear layers with ReLU. The two are measured in turns, and the fastest of each counts: on a
shared machine the ratio says more than the seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from n2nsurgery.graph import layer_graph, trace
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.planner import PlannedModel, checked, plan_surgery

# name: CPU seconds that tracing and planning may take
LIMITS = {"resnet50": 1, "densenet201": 10, "efficientnet_b7": 10, "layers:1000": 30}
REPEATS = 3


def built(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    if name.startswith("layers:"):
        count = int(name.partition(":")[2])
        chain = nn.Sequential(*[each for _ in range(count) for each in (nn.Linear(8, 8), nn.ReLU())])
        return chain, (torch.randn(2, 8),)
    bundle = resolve_model(name, seed=0)
    return bundle.module.eval(), bundle.example_inputs


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def planned(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int:
    graph = layer_graph(trace(module, inputs))
    model = PlannedModel(recipe=None, class_name=type(module).__name__, inputs=())
    return len(plan_surgery(graph, checked(SurgeryConfig(density=0.5)), model).skips)


def measured(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[float, float]:
    """The fastest of each, planning and torch's export."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(REPEATS):
        ours.append(seconds(lambda: planned(module, inputs)))
        theirs.append(seconds(lambda: torch.export.export(module, inputs)))
    return min(ours), min(theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(LIMITS))
    names = parser.parse_args().names
    torch.set_num_threads(1)
    planned(*built("layers:2"))  # imports and caches of both
    torch.export.export(*built("layers:2"))
    print(f"{'network':<18}{'plan, s':>10}{'export, s':>12}{'ratio':>8}{'limit, s':>10}")
    for name in names:
        module, inputs = built(name)
        best, other = measured(module, inputs)
        print(f"{name:<18}{best:>10.2f}{other:>12.2f}{best / other:>8.2f}{LIMITS.get(name, ''):>10}", flush=True)


if __name__ == "__main__":
    main()
