"""Experiment `predefined-fig1`: CIFAR with sparse classification layers behind six convolutions.

Source: "Characterizing sparse connectivity patterns in neural networks", Fig. 1, section 2.2.1 and appendix 5.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from n2nsurgery.data.config import DataConfig
from n2nsurgery.experiments.n2nskip.tables import at_scale
from n2nsurgery.experiments.paper.panels import draw
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Scale, Table, TableCell, Verdict
from n2nsurgery.experiments.predefined import networks as nets
from n2nsurgery.experiments.predefined.networks import FanOuts, Network
from n2nsurgery.experiments.predefined.runs import (
    ADAM,
    SOURCE,
    JunctionRuns,
    Junctions,
    data_of,
    epoch_panel,
    train_junctions,
)
from n2nsurgery.experiments.trials.paired import SampleStats, paired

_SEEDS = {"smoke": 1, "small": 2, "paper": 3}
_EPOCHS = {"smoke": 1, "small": 5, "paper": 30}
_BATCH = {"smoke": 16, "small": 64, "paper": 128}
_CHEAP: dict[Scale, dict[str, Any]] = {"smoke": {}, "small": {"amp": "bf16", "channels_last": True}, "paper": {}}
_SHOWN = (1, 5, 30)  # epochs of subfigures (c) and (f)
_AS_GOOD = 1.0  # points of percent: "negligible degradation"; the paper's own regularization moves results by as much


@dataclass(frozen=True, kw_only=True)
class PredefinedFig1:
    """CIFAR-10 and CIFAR-100 at paper scale; 1,500 images of CIFAR-10 at small scale."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Curves, the best accuracies after 1, 5 and 30 epochs, verdicts."""
        networks = _networks(config)
        asked = [(junctions, fan) for junctions in networks for fan in _fans(junctions, config.scale)]
        runs = train_junctions(asked, config, _SEEDS[config.scale])
        panels = [epoch_panel(runs, junctions, _fans(junctions, config.scale)) for junctions in networks]
        return Reproduction(
            name="predefined-fig1",
            title="CIFAR with sparse classification layers",
            source=f"{SOURCE}, Fig. 1",
            conventions=(_training(networks[0]), *runs.remarks),
            tables=tuple(_table(runs, junctions, _fans(junctions, config.scale)) for junctions in networks),
            verdicts=tuple(
                verdict
                for junctions in networks
                for verdict in _verdicts(runs, junctions, _fans(junctions, config.scale), config.scale)
            ),
            figures=draw(config.folder, "predefined-fig1", panels),
            data={f"{junctions.network.name} {fan}": runs.accuracies((junctions, fan)) for junctions, fan in asked},
        )


def _networks(config: ExperimentConfig) -> tuple[Junctions, ...]:
    ten = ((nets.CIFAR10_2CL, "cifar-conv-2cl", 16), (nets.CIFAR10_3CL, "cifar-conv-3cl", 16))
    hundred = ((nets.CIFAR100_2CL, "cifar-conv-2cl", 128), (nets.CIFAR100_3CL, "cifar-conv-3cl", 128))
    chosen = {"smoke": ten[:1], "small": ten, "paper": ten + hundred}[config.scale]
    return tuple(_junctions(network, model, outputs, config) for network, model, outputs in chosen)


def _junctions(network: Network, model: str, outputs: int, config: ExperimentConfig) -> Junctions:
    layers = tuple(f"classifier.{2 * number}" for number in range(len(network.junctions)))
    epochs, batch = _EPOCHS[config.scale], _BATCH[config.scale]
    return Junctions(
        network=network, model=model, layers=layers, data=_data(config, outputs),
        train=replace(ADAM, epochs=epochs, batch_size=batch, **_CHEAP[config.scale]), num_classes=outputs,
    )  # fmt: skip


def _data(config: ExperimentConfig, outputs: int) -> DataConfig:
    if config.scale == "smoke":
        return data_of("fake", config, train=32, test=16)
    if config.scale == "small":
        return data_of("cifar10", config, augment="none", train_limit=1500, test_limit=1000)
    return data_of("cifar10" if outputs == 16 else "cifar100", config, augment="none")  # noqa: PLR2004 - of 10 classes


def _fans(junctions: Junctions, scale: Scale) -> tuple[FanOuts, ...]:
    rows = tuple(fan for fan, _ in junctions.network.rows)
    return (*(rows[:1] if scale == "smoke" else rows), junctions.dense)


def _training(junctions: Junctions) -> str:
    limit = getattr(junctions.data.options, "train_limit", None)
    images = f"{limit:,} training and 1,000 test images" if limit else "all images"
    return (
        f"{images}, {junctions.train.epochs} epochs, Adam at {ADAM.optimizer.lr}, batches of "
        f"{junctions.train.batch_size}, no augmentation. Accuracies are those of test images."
    )


def _table(runs: JunctionRuns, junctions: Junctions, fans: Sequence[FanOuts]) -> Table:
    epochs = [epoch for epoch in _SHOWN if epoch <= junctions.train.epochs]
    rows: list[tuple[TableCell, ...]] = []
    for fan in fans:
        best = [tuple(runs.best_until((junctions, fan), epoch).values()) for epoch in epochs]
        rows.append(
            (str(fan), f"{100 * junctions.density(fan):.2f}", junctions.network.weights(fan),
             *(SampleStats(values=values).text(1) for values in best), len(best[0]))
        )  # fmt: skip
    columns = ("fan-outs", "overall density, %", "weights", *(f"best after epoch {e}, %" for e in epochs), "runs")
    return Table(title=junctions.network.name, columns=columns, rows=tuple(rows))


def _verdicts(
    runs: JunctionRuns, junctions: Junctions, fans: Sequence[FanOuts], scale: Scale
) -> tuple[Verdict, Verdict]:
    """The densest of the sparse networks beside the fully connected one: at the end, and after one epoch."""
    *_, sparse, dense = fans
    last = junctions.train.epochs
    end, start = (
        paired(runs.best_until((junctions, sparse), epoch), runs.best_until((junctions, dense), epoch))
        for epoch in (last, 1)
    )
    name, density = junctions.network.name, f"{100 * junctions.density(sparse):.2f} %"
    return (
        Verdict(
            statement=f"{name}: {density} is as good as fully connected (less than {_AS_GOOD:g} point behind)",
            outcome=at_scale(end.not_below(_AS_GOOD), scale),
            evidence=f"{density} minus fully connected after epoch {last}: {end.signed()} points, "
            f"{len(end.values)} seeds",
        ),
        Verdict(
            statement=f"{name}: sparse networks start quicker",
            outcome=at_scale(start.outcome, scale),
            evidence=f"{density} minus fully connected after epoch 1: {start.signed()} points, "
            f"{len(start.values)} seeds",
        ),
    )


MEMBER = PredefinedFig1
