"""What masks cost: a masked training step, a dense one and a plain PyTorch loop on the same network, in turns.

Four copies of one network take the same batch one after the other in one process; printed is the median over the
rounds of the ratio within a round. `dense` is our loop without masks; `hooks` leaves the masking to the hooks of a
pruned network, which copy each gradient as it is computed; `n2nsurgery.training` suspends them.

    uv run python benchmarks/masking.py [--network cifar-vgg19|d17] [--batch 32] [--rounds 15] [--clip]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.masks.attachment import apply_masks
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.models.families.cifar_vgg19 import CifarVgg19
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.loop.components import components_of
from n2nsurgery.training.loop.step import optimizer_step
from n2nsurgery.training.loop.train_state import TrainState
from n2nsurgery.training.state.saved_state import Position

DENSITY = 0.05
Step = Callable[[], object]
TARGET = 1.03
D17 = ((16, 2), (32, 1), (32, 1), (64, 1), *((64, 1),) * 13)


def d17() -> nn.Module:
    """17 convolutions without bias, each with BatchNorm and ReLU, for images of 32x32; 0.5 M weights."""
    layers: list[nn.Module] = []
    channels = 3
    for index, (width, stride) in enumerate(D17):
        layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if index in {0, 2} else []
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"cifar-vgg19": lambda: CifarVgg19().build(), "d17": d17}


def plain(model: nn.Module, device: torch.device, pair: tuple[torch.Tensor, torch.Tensor], clip: float | None) -> Step:
    """A step as it is written everywhere, with the numbers that every loop reports."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    inputs, targets = (tensor.to(device) for tensor in pair)
    sums = {"loss": 0.0, "correct": 0.0}

    def step() -> None:
        optimizer.zero_grad()
        logits = model(inputs)
        loss = nn.functional.cross_entropy(logits, targets)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        sums["loss"] += loss.item()
        sums["correct"] += (logits.argmax(1) == targets).sum().item()

    return step


def ours(train_state: TrainState, pair: tuple[torch.Tensor, torch.Tensor]) -> Step:
    """The step of `n2nsurgery.training`."""
    return lambda: optimizer_step(train_state, [pair], position=Position())


def seconds(step: Step, device: torch.device) -> float:
    """Seconds of one step: of the processor on a CPU, which other programs share, of the clock on a GPU."""
    if device.type == "cpu":
        start = time.process_time()
        step()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turns(steps: dict[str, Step], count: int, device: torch.device) -> list[dict[str, float]]:
    """Seconds of each step in `count` rounds after two that warm up; who begins goes round."""
    rounds: list[dict[str, float]] = []
    for number in range(count + 2):
        order = list(steps)[number % len(steps) :] + list(steps)[: number % len(steps)]
        measured = {name: seconds(steps[name], device) for name in order}
        rounds += [measured] if number > 1 else []
    return rounds


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="cifar-vgg19")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clip", action="store_true")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    generator = torch.Generator().manual_seed(0)
    pair = (
        torch.randn(arguments.batch, 3, 32, 32, generator=generator),
        torch.randint(10, (arguments.batch,), generator=generator),
    )
    model = NETWORKS[arguments.network]().to(device)
    masks = MaskSet(
        {name: torch.rand(p.shape, generator=generator) < DENSITY for name, p in model.named_parameters() if p.ndim > 1}
    )
    kept = copy.deepcopy(model)
    apply_masks(kept, masks)
    clip = 5.0 if arguments.clip else None
    config, processes = TrainConfig(clip_norm=clip), SingleProcess(device=device)
    steps = {
        "plain": plain(copy.deepcopy(model).train(), device, pair, clip),
        "dense": ours(TrainState(copy.deepcopy(model), config, components_of(config), processes, {}, 1), pair),
        "masked": ours(TrainState(copy.deepcopy(model), config, components_of(config), processes, masks, 1), pair),
        "hooks": ours(TrainState(kept, config, components_of(config), processes, {}, 1), pair),
    }
    rounds = in_turns(steps, arguments.rounds, device)
    for name in steps:
        print(f"{name}: {1000 * statistics.median(measured[name] for measured in rounds):.2f} ms")
    for one, two, target in (
        ("masked", "dense", TARGET),
        ("hooks", "dense", TARGET),
        ("dense", "plain", 1.0),
        ("masked", "plain", 1.0),
    ):
        ratios = sorted(measured[one] / measured[two] for measured in rounds)
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{one} / {two}: {middle:.3f} [{low:.3f}, {high:.3f}]; target {target}")


if __name__ == "__main__":
    main()
