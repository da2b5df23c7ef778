"""Patterns of one density and of differing quality for classification layers, and the training of each.

`fixed fan`: equal fan-outs and fan-ins, random otherwise. `clustered`: the share s of the right neurons of each
junction reads consecutive left neurons alone, those of an image window by window; the others read at random. `skewed`:
left neurons are chosen with probabilities proportional to exp(s g), g standard normal, so that some have most of the
edges and others none.
Source of the question: "Characterizing sparse connectivity patterns in neural networks", section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from n2nsurgery.connectivity.paths.scatter_vector import Shape, scatter
from n2nsurgery.connectivity.paths.windows import window_numbers
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.core.progress import Progress
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.data.pipeline.loader import Loader
from n2nsurgery.experiments.predefined.networks import FanOuts, Network
from n2nsurgery.experiments.predefined.runs import Junctions
from n2nsurgery.experiments.trials.job import Document
from n2nsurgery.experiments.trials.trial import splits_of
from n2nsurgery.masks.patterns.fans import fan_in_of, fixed_fan
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.events import Callbacks
from n2nsurgery.training.loop.run import run_training

PatternKind = Literal["fixed fan", "clustered", "skewed"]


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One draw of a kind; `strengths` (of clustering or skew) for each junction."""

    kind: PatternKind
    strengths: tuple[float, ...]
    seed: int

    def draw(self, network: Network, fan_outs: FanOuts, shape: Shape) -> tuple[NDArray[np.bool_], ...]:
        """The boolean (out, in) matrices of `network`'s junctions, with as many edges as `fan_outs` say.

        `shape`: the geometry of the inputs, row-major.
        """
        drawn = []
        for number, ((n_out, n_in), fan_out) in enumerate(zip(network.junctions, fan_outs, strict=True)):
            fan_in = fan_in_of(n_out, n_in, fan_out)
            if self.kind == "fixed fan":
                drawn.append(fixed_fan(n_out, n_in, fan_out=fan_out, seed=self.seed).numpy())
                continue
            generator = numpy_generator(self.seed, f"{self.kind} {self.strengths}", f"junction {number}")
            strength = self.strengths[number]
            if self.kind == "clustered":
                neighbours = np.argsort(window_numbers(shape if number == 0 else (n_in,), fan_in), kind="stable")
                chosen = _clustered(n_out, neighbours, fan_in, strength, generator)
            else:
                chosen = _skewed(n_out, n_in, fan_in, strength, generator)
            matrix = np.zeros((n_out, n_in), dtype=np.bool_)
            np.put_along_axis(matrix, chosen, values=True, axis=1)
            drawn.append(matrix)
        return tuple(drawn)


def _clustered(
    n_out: int, neighbours: NDArray[np.int64], fan_in: int, share: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """The left neurons (n_out, fan_in) of each right neuron, in runs of `neighbours` that follow each other."""
    n_in = len(neighbours)
    chosen = _at_random(n_out, n_in, fan_in, generator)
    local = generator.permutation(n_out)[: round(share * n_out)]
    starts = (local * (n_in // fan_in) // n_out) * fan_in
    chosen[local] = neighbours[starts[:, None] + np.arange(fan_in)]
    return chosen


def _skewed(n_out: int, n_in: int, fan_in: int, skew: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """The left neurons (n_out, fan_in) of each right neuron: the largest of log weight + Gumbel noise."""
    weights = skew * generator.standard_normal(n_in)
    return np.argsort(weights + generator.gumbel(size=(n_out, n_in)), axis=1)[:, -fan_in:]


def _at_random(n_out: int, n_in: int, fan_in: int, generator: np.random.Generator) -> NDArray[np.int64]:
    return np.argsort(generator.random((n_out, n_in)), axis=1)[:, :fan_in]


def assorted(draws: int, strengths: tuple[float, ...], skews: tuple[float, ...], seed: int) -> Iterator[Pattern]:
    """`draws` of every kind and strength, fixed fans four times as many; seeds rise from `seed`."""
    for number in range(4 * draws):
        yield Pattern(kind="fixed fan", strengths=(), seed=seed + number)
    for number in range(draws):
        for one in strengths:
            for two in strengths:
                if one or two:
                    yield Pattern(kind="clustered", strengths=(one, two), seed=seed + number)
        for skew in skews:
            yield Pattern(kind="skewed", strengths=(skew, skew), seed=seed + number)


@dataclass(frozen=True, kw_only=True)
class PatternRun:
    """A network trained with one pattern. Data, initial weights and order of batches come from `seed`.

    `shape`: the geometry of the inputs, for windows.
    """

    junctions: Junctions
    pattern: Pattern
    fan_outs: FanOuts
    shape: Shape
    seed: int
    download: bool = False

    @property
    def key(self) -> str:
        """`<model>-<kind>-<strengths>-s<seed of the pattern>-<hash>`."""
        words = "-".join(
            (self.pattern.kind.replace(" ", "-"), *(f"{strength:g}" for strength in self.pattern.strengths))
        )
        subject = self.junctions
        train = replace(subject.train, device="auto")  # where it is trained changes nothing
        what = (self.pattern, self.fan_outs, subject.data.options, train, *subject.options)
        return f"{subject.model}-{words}-s{self.pattern.seed}-{fingerprint([self.seed, repr(what)])[:8]}"

    def run(self, folder: Path, device: str, progress: Progress) -> Document:
        """Train with the pattern as masks; see `Job`."""
        subject = self.junctions
        splits = splits_of(subject.data, self.seed, download=self.download)
        drawn = self.pattern.draw(subject.network, self.fan_outs, self.shape)
        masks = {f"{name}.weight": torch.from_numpy(mask) for name, mask in zip(subject.layers, drawn, strict=True)}
        config = replace(subject.train, device=device, seed=self.seed)
        model = resolve_model(
            subject.model, seed=self.seed, num_classes=subject.num_classes, options=dict(subject.options)
        )

        def loader(training: bool) -> Loader:  # noqa: FBT001
            split = splits.train if training else splits.test
            return Loader(split, config.batch_size, shuffle=training, seed=self.seed, augment=False, drop_last=training)

        trained = run_training(
            model.module,
            TrainData(train=loader(training=True), evaluations={"test": loader(training=False)}),
            config,
            folder=folder / self.key,
            callbacks=Callbacks(on_step=lambda step: progress(self.key, step.step / step.steps)),
            masks=masks,
            resume=True,
            run_id=self.key,
        )
        found = scatter(drawn, (self.shape, *((width,) for width in subject.network.widths[1:])))
        return {
            "kind": self.pattern.kind,
            "strengths": list(self.pattern.strengths),
            "seed": self.pattern.seed,
            "edges": int(sum(mask.sum() for mask in drawn)),
            "vector": found.vector.tolist(),
            "scatter": found.minimum,
            "accuracy": 100 * trained.history[-1].evaluations[0].top1,
        }
