"""Whether it helps, at equal non-zeros, when training itself decides where weights live: in layers or in skips.

Every method trains the same network from the same start on the same batches: 6,000 training images of CIFAR-10 without
augmentation. It is judged on 10,000 other training images; the test set stays unseen. In training, kept weights are
exchanged for others (`growth.py`): from step 60 on every 30 steps, in the first 75 % of the steps. The gradient of that
step's batch decides; what is new starts at zero, what is dropped loses its momentum, and the number of non-zeros never
changes. Differences are taken seed by seed.

    uv run python benchmarks/drop_and_grow.py --data DIR [--model cifar-plain17] [--density 0.05] [--seeds 3]
        [--images 6000] [--epochs 6] [--methods one-to-one global-saliency ...] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Literal

import torch
from growth import exchanged, exchanged_by_layer, fraction_at, relative_magnitude, saliency
from torch import Tensor
from torch.nn import functional as F

import n2nsurgery
from n2nsurgery.core.errors import N2NSurgeryError
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.core.seeds import torch_generator
from n2nsurgery.data.pipeline.loader import Loader
from n2nsurgery.data.pipeline.splits import DataSplits, Split
from n2nsurgery.data.pipeline.subset import limited
from n2nsurgery.data.sets.cifar10 import Cifar10
from n2nsurgery.experiments.trials.paired import SampleStats, paired
from n2nsurgery.masks.attachment import enforcer_of
from n2nsurgery.masks.enforcer import MaskEnforcer
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.pipelines.training.fitted import fitted_bundle
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.parameter_groups import make_optimizer
from n2nsurgery.training.config.schedule import ScheduleConfig, learning_rate
from n2nsurgery.training.loop.evaluation import evaluate

JUDGED = 10_000
BATCH = 64
OPTIMIZER = OptimizerConfig(name="sgd", lr=0.05, momentum=0.9, nesterov=False, weight_decay=5e-4)
SCHEDULE = ScheduleConfig(name="cosine", floor=0)
REFERENCE = "one-to-one"
SHOWN = 4
ENDS = (attrgetter("before"), attrgetter("after"))


@dataclass(frozen=True, kw_only=True)
class Method:
    """Which skips there are, and how kept weights are exchanged; `drop` None: never."""

    skip: Literal["n2n", "none"] = "n2n"
    drop: Literal["magnitude", "saliency"] | None = None
    grow: Literal["gradient", "random"] = "gradient"
    by_layer: bool = False
    fraction: float = 0.3


METHODS: Mapping[str, Method] = {
    "rp": Method(skip="none"),
    REFERENCE: Method(),
    "set": Method(drop="magnitude", grow="random", by_layer=True),
    "rigl": Method(drop="magnitude", by_layer=True),
    "global-magnitude": Method(drop="magnitude"),
    "global-saliency": Method(drop="saliency", fraction=0.5),
    "rp-global": Method(skip="none", drop="magnitude"),
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one training gave: accuracy in percent, and the kept weights of each tensor before and after.

    `skips`: the ends of each skip by its tensor's name.
    """

    method: str
    seed: int
    accuracy: float
    size: Mapping[str, int]
    before: Mapping[str, int]
    after: Mapping[str, int]
    skips: Mapping[str, str]

    def share(self, kept: Mapping[str, int]) -> float:
        """The part of the kept weights that is in skips, in percent."""
        return 100 * sum(kept[name] for name in self.skips) / sum(kept.values())

    def change(self, name: str) -> float:
        """By how much the density of a tensor has changed."""
        return (self.after[name] - self.before[name]) / self.size[name]


class Patterns:
    """The masks of a network in training, and their updates; everything is a function of (seed, step, gradients)."""

    def __init__(self, pruned: PrunedModel, method: Method, seed: int) -> None:
        self.masks: Mapping[str, Tensor] = pruned.masks
        self.masked = MaskEnforcer(pruned.module, pruned.masks, hooks=False)
        self._module, self._method, self._seed = pruned.module, method, seed
        self._kept = pruned.masks.kept

    def exchange(self, step: int, fraction: float, optimizer: torch.optim.Optimizer) -> None:
        """Replace the masks by those that the weights and the unmasked gradients of this step ask for."""
        parameters = {name: self._module.get_parameter(name) for name in self.masks}
        weights = {name: parameter.detach() for name, parameter in parameters.items()}
        gradients = {
            name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for name, parameter in parameters.items()
        }
        by_saliency = self._method.drop == "saliency"
        importance = saliency(weights, gradients) if by_saliency else relative_magnitude(weights, self.masks)
        strength = {name: gradient.abs() for name, gradient in gradients.items()}
        interest = self._chance(step) if self._method.grow == "random" else strength
        exchange = exchanged_by_layer if self._method.by_layer else exchanged
        self.masks = exchange(self.masks, importance, interest, fraction)
        assert sum(int(mask.count_nonzero()) for mask in self.masks.values()) == self._kept
        self.masked = MaskEnforcer(self._module, self.masks, hooks=False)
        self.masked.apply()
        self.masked.clear(optimizer)

    def _chance(self, step: int) -> dict[str, Tensor]:
        return {
            name: torch.rand(mask.shape, generator=torch_generator(self._seed, f"growth at step {step}", name))
            for name, mask in self.masks.items()
        }


def train(pruned: PrunedModel, method: Method, images: Split, *, epochs: int, seed: int) -> Patterns:
    """The patterns after training `pruned` in place.

    Its mask enforcer has to be suspended, for growth asks for all gradients.
    """
    module = pruned.module.train().to(memory_format=torch.channels_last)
    patterns = Patterns(pruned, method, seed)
    optimizer = make_optimizer(module, OPTIMIZER)
    loader = Loader(images, BATCH, shuffle=True, seed=seed, augment=False, drop_last=True)
    step, steps = 0, epochs * len(loader)
    for epoch in range(epochs):
        for inputs, targets in loader.epoch(epoch):
            lr = learning_rate(SCHEDULE, OPTIMIZER.lr, step, steps_per_epoch=len(loader), epochs=epochs)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad()
            F.cross_entropy(module(inputs.contiguous(memory_format=torch.channels_last)), targets).backward()
            fraction = fraction_at(step, steps, method.fraction) if method.drop else 0.0
            if fraction:
                patterns.exchange(step, fraction, optimizer)
            patterns.masked.mask_gradients()
            optimizer.step()
            step += 1
    patterns.masked.require_zero(optimizer)
    return patterns


def cell(name: str, arguments: argparse.Namespace, splits: DataSplits, seed: int) -> Cell:
    """One network, pruned, trained and judged."""
    assert splits.validation is not None
    method = METHODS[name]
    bundle = fitted_bundle(ModelConfig(name=arguments.model), splits, seed=seed)
    pruned = n2nsurgery.apply(
        bundle.module, density=arguments.density, skip_ratio="auto", skip=method.skip, seed=seed,
        example_inputs=bundle.example_inputs,
    )  # fmt: skip
    chosen = limited(splits.train.targets, arguments.images, seed=seed)
    images = replace(splits.train, positions=splits.train.positions[chosen], targets=splits.train.targets[chosen])
    judged = Loader(splits.validation, 500, shuffle=False, seed=seed, augment=False, drop_last=False)
    enforcer = enforcer_of(pruned.module)
    assert enforcer is not None
    with enforcer.suspended():  # at its end the mask enforcer puts its own masks back, so everything happens inside
        patterns = train(pruned, method, images, epochs=arguments.epochs, seed=seed)
        score = evaluate(pruned.module, judged, processes=SingleProcess(device=torch.device("cpu")), channels_last=True)
    return Cell(
        method=name,
        seed=seed,
        accuracy=100 * score.top1,
        size={name: mask.numel() for name, mask in pruned.masks.items()},
        before=pruned.masks.counts,
        after={name: int(mask.count_nonzero()) for name, mask in patterns.masks.items()},
        skips={
            f"{skip.name}.weight": f"skip {skip.pair.source} -> {skip.pair.target}"
            for skip in pruned.plan.skips
            if skip.weight_shape is not None
        },
    )


def by_seed(cells: Sequence[Cell], method: str) -> dict[int, float]:
    """The accuracies of one method."""
    return {each.seed: each.accuracy for each in cells if each.method == method}


def row(cells: Sequence[Cell], method: str) -> dict[str, str]:
    """One line of the table."""
    own = [each for each in cells if each.method == method]
    skips = "-"
    if own[0].skips:
        before, after = (SampleStats(values=tuple(c.share(kept(c)) for c in own)) for kept in ENDS)
        whole = statistics.mean(sum(each.after[name] > 0 for name in each.skips) for each in own)
        skips = f"{before.mean:.2f} -> {after.text()} % in {whole:.1f} of {len(own[0].skips)}"
    accuracies = by_seed(cells, method)
    difference = paired(accuracies, by_seed(cells, REFERENCE)).signed() if method != REFERENCE else ""
    return {
        "method": method,
        "accuracy, %": SampleStats(values=tuple(accuracies.values())).text(),
        "kept weights in skips": skips,
        f"against {REFERENCE}": difference,
    }


def moved(cells: Sequence[Cell], method: str) -> list[str]:
    """The tensors whose mean density changed most, `SHOWN` of them, with the densities before and after."""
    own = [each for each in cells if each.method == method]
    changes = {name: statistics.mean(each.change(name) for each in own) for name in own[0].size}
    lines = []
    for name in sorted(changes, key=lambda name: -abs(changes[name]))[:SHOWN]:
        before, after = (statistics.mean(kept(each)[name] / each.size[name] for each in own) for kept in ENDS)
        if changes[name]:
            lines.append(f"{own[0].skips.get(name, name.removesuffix('.weight'))} {before:.3f} -> {after:.3f}")
    return lines


def show(cells: Sequence[Cell], methods: Sequence[str]) -> None:
    """Print the tables in Markdown."""
    rows = [row(cells, method) for method in methods]
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for each in rows:
        print(f"| {' | '.join(each.values())} |")
    print("\n| method | densities that changed most |\n|---|---|")
    for method in methods:
        if METHODS[method].drop:
            print(f"| {method} | {'; '.join(moved(cells, method)) or 'none'} |")


def count(text: str) -> int:
    """A whole number from 1, of the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1")
    return int(text)


def main() -> None:
    """Train the cells, seeds before methods, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="cifar-plain17")
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--seeds", type=count, default=3)
    parser.add_argument("--images", type=count, default=6000)
    parser.add_argument("--epochs", type=count, default=6)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", action="store_true", help="a line for each training as it ends, instead of tables")
    arguments = parser.parse_args()
    methods = list(dict.fromkeys(arguments.methods))
    torch.set_num_threads(1)
    cells: list[Cell] = []
    try:
        splits = Cifar10(validation=JUDGED, augment="none").load(arguments.data, download=False, seed=0)
        for seed, method in product(range(arguments.seeds), methods):
            cells.append(cell(method, arguments, splits, seed))
            if arguments.json:
                print(json.dumps(asdict(cells[-1])), flush=True)
    except N2NSurgeryError as error:
        parser.error(str(error))
    if not arguments.json:
        show(cells, methods)


if __name__ == "__main__":
    main()
