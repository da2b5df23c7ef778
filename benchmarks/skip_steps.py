"""What skips cost in training: a step of grafted networks against one of the network pruned alone, in turns.

All networks keep 5 % of the same weights' number and take the same batch one after the other in one process, with the
step of `n2nsurgery.training`; printed is the median over the rounds of the ratio within a round, and beside it the
ratio of floating-point operations in dense kernels, which is what torch computes.

    uv run python benchmarks/skip_steps.py [--model cifar-vgg19] [--batch 32] [--rounds 15] [--device cpu]
"""

from __future__ import annotations

import argparse
import statistics

import torch
from masking import Step, in_turns, ours
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import n2nsurgery
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.loop.components import components_of
from n2nsurgery.training.loop.train_state import TrainState

ALONE = "pruned alone"


def networks(model: str, density: float) -> dict[str, PrunedModel]:
    """The network pruned alone, with the default's skips, with the paper's, and with those of ResNets."""
    made = {
        ALONE: n2nsurgery.apply(model, density=density, skip="none"),
        "one-to-one": n2nsurgery.apply(model, density=density),
        "residual (k = 2)": n2nsurgery.apply(model, density=density, skip="residual", skip_length=2),
        "the paper's": n2nsurgery.apply(
            model,
            density=density,
            skip_ratio=0.5,
            skip_pattern="random",
            skip_kernel="target",
            skip_norm="never",
            skip_placement="all",
        ),
    }
    if len({pruned.plan.budget.total for pruned in made.values()}) != 1:
        raise SystemExit("the networks differ in their number of kept weights")
    return made


def flops(module: nn.Module, inputs: torch.Tensor) -> int:
    """Operations of a forward pass in dense kernels."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(inputs)
    return int(counter.get_total_flops())


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cifar-vgg19")
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds: quartiles need 2 or more")
    device = torch.device(arguments.device)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(arguments.batch, 3, 32, 32, generator=generator)
    pair = (inputs.to(device), torch.randint(10, (arguments.batch,), generator=generator).to(device))
    steps: dict[str, Step] = {}
    operations: dict[str, int] = {}
    for name, pruned in networks(arguments.model, arguments.density).items():
        operations[name] = flops(pruned.module, inputs)
        train_state = TrainState(
            pruned.module.to(device).train(),
            TrainConfig(),
            components_of(TrainConfig()),
            SingleProcess(device=device),
            pruned.masks,
            steps_per_epoch=1,
        )
        steps[name] = ours(train_state, pair)
    rounds = in_turns(steps, arguments.rounds, device)
    for name in steps:
        ratios = sorted(measured[name] / measured[ALONE] for measured in rounds)
        low, middle, high = statistics.quantiles(ratios, n=4)
        milliseconds = 1000 * statistics.median(measured[name] for measured in rounds)
        print(
            f"{name}: {milliseconds:.1f} ms, {middle:.3f} [{low:.3f}, {high:.3f}] of {ALONE}, "
            f"FLOPs {operations[name] / operations[ALONE]:.3f}"
        )


if __name__ == "__main__":
    main()
