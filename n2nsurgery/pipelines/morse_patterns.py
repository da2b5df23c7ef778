"""Patterns of one density and of differing quality for the Morse network, and the training of each.

`fixed fan`: equal fan-outs and fan-ins, random otherwise. `clustered`: the share s of the right neurons of each
junction reads one window of consecutive left neurons, the others read at random. `skewed`: left neurons are chosen with
probabilities proportional to exp(s g), g standard normal, so that some have most of the edges and others none.
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

from n2nsurgery.connectivity.scatter_vector import scatter
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.data.loader import Loader
from n2nsurgery.data.request import DataRequest
from n2nsurgery.masks.fans import fan_in_of, fixed_fan
from n2nsurgery.models.sources import resolve
from n2nsurgery.pipelines.cell import splits_of
from n2nsurgery.pipelines.jobs import Document, Report
from n2nsurgery.pipelines.predefined_networks import MORSE, FanOuts
from n2nsurgery.train.config import TrainConfig
from n2nsurgery.train.run import run_training

Kind = Literal["fixed fan", "clustered", "skewed"]
_LAYERS = ("0", "2")


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One draw of a kind; `strengths` (of clustering or skew) for each junction."""

    kind: Kind
    strengths: tuple[float, ...]
    seed: int

    def draw(self, fan_outs: FanOuts) -> tuple[NDArray[np.bool_], ...]:
        """The boolean (out, in) matrices of the Morse network's junctions, with as many edges as `fan_outs` say."""
        drawn = []
        for number, ((n_out, n_in), fan_out) in enumerate(zip(MORSE.junctions, fan_outs, strict=True)):
            fan_in = fan_in_of(n_out, n_in, fan_out)
            if self.kind == "fixed fan":
                drawn.append(fixed_fan(n_out, n_in, fan_out=fan_out, seed=self.seed).numpy())
                continue
            generator = numpy_generator(self.seed, f"{self.kind} {self.strengths}", f"junction {number}")
            strength = self.strengths[number]
            rows = _clustered if self.kind == "clustered" else _skewed
            matrix = np.zeros((n_out, n_in), dtype=np.bool_)
            np.put_along_axis(matrix, rows(n_out, n_in, fan_in, strength, generator), values=True, axis=1)
            drawn.append(matrix)
        return tuple(drawn)


def _clustered(n_out: int, n_in: int, fan_in: int, share: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """The left neurons (n_out, fan_in) of each right neuron; windows follow each other along the right neurons."""
    chosen = _at_random(n_out, n_in, fan_in, generator)
    local = generator.permutation(n_out)[: round(share * n_out)]
    starts = (local * (n_in // fan_in) // n_out) * fan_in
    chosen[local] = starts[:, None] + np.arange(fan_in)
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
    """The Morse network trained with one pattern. Data, initial weights and order of batches come from `seed`."""

    pattern: Pattern
    fan_outs: FanOuts
    data: DataRequest
    train: TrainConfig
    seed: int

    @property
    def key(self) -> str:
        """`morse-<kind>-<strengths>-s<seed of the pattern>-<hash>`."""
        words = "-".join(
            (self.pattern.kind.replace(" ", "-"), *(f"{strength:g}" for strength in self.pattern.strengths))
        )
        train = replace(self.train, device="auto")  # where it is trained changes nothing
        digest = fingerprint([self.seed, repr((self.pattern, self.fan_outs, self.data.options, train))])
        return f"morse-{words}-s{self.pattern.seed}-{digest[:8]}"

    def carry_out(self, folder: Path, device: str, report: Report) -> Document:
        """Train with the pattern as masks; see `Job`."""
        splits = splits_of(self.data, self.seed, download=False)
        junctions = self.pattern.draw(self.fan_outs)
        masks = {f"{name}.weight": torch.from_numpy(mask) for name, mask in zip(_LAYERS, junctions, strict=True)}
        config = replace(self.train, device=device, seed=self.seed)

        def loader(training: bool) -> Loader:  # noqa: FBT001
            split = splits.train if training else splits.test
            return Loader(split, config.batch_size, shuffle=training, seed=self.seed, augment=False, drop_last=training)

        trained = run_training(
            resolve("morse", seed=self.seed).module,
            loader(training=True),
            config,
            folder=folder / self.key,
            evaluations={"test": loader(training=False)},
            masks=masks,
            resume=True,
            subject=self.key,
            progress=lambda step: report(self.key, step.step / step.steps),
        )
        found = scatter(junctions)
        return {
            "kind": self.pattern.kind,
            "strengths": list(self.pattern.strengths),
            "seed": self.pattern.seed,
            "edges": int(sum(mask.sum() for mask in junctions)),
            "vector": found.vector.tolist(),
            "scatter": found.minimum,
            "accuracy": 100 * trained.history[-1].evaluations[0].top1,
        }
