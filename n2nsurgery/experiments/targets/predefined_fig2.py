"""Experiment `predefined-fig2`: MNIST with sparse classification layers, behind convolutions and alone.

Junction 2 of the networks without convolutions stays dense, as in the rows of Table 1 that the paper shows for them.
Source: "Characterizing sparse connectivity patterns in neural networks", Fig. 2 and section 2.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from n2nsurgery.data.config import DataConfig
from n2nsurgery.experiments.n2nskip.tables import at_scale
from n2nsurgery.experiments.paper.panels import Panel, PanelCurve, draw
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Scale, Table, TableCell, Verdict
from n2nsurgery.experiments.predefined import networks as nets
from n2nsurgery.experiments.predefined.networks import FanOuts, Network
from n2nsurgery.experiments.predefined.runs import (
    ADAM_L2,
    L2,
    SOURCE,
    Asked,
    JunctionRuns,
    Junctions,
    data_of,
    epoch_panel,
    train_junctions,
)
from n2nsurgery.experiments.trials.paired import paired, together
from n2nsurgery.training.config.config import TrainConfig

_SEEDS = {"smoke": 1, "small": 3, "paper": 3}
_HIDDEN = (224, 112, 56, 28)
_SHARED = 28  # the fan-out of junction 1 that gives all four networks 21,952 weights there
_FAN_OUTS = {224: (4, 28, 56, 112, 224), 112: (2, 14, 28, 56, 112), 56: (1, 7, 14, 28, 56), 28: (1, 7, 14, 28)}
_SINGLE = Network(name="MNIST CL (1024, 16)", widths=(1024, 16), rows=())
_MATCHING = (16, 10)  # 2.35 %
_AS_GOOD = 0.2  # points of percent: what "matches" may mean; 20 of 10,000 test images


@dataclass(frozen=True, kw_only=True)
class PredefinedFig2:
    """All of MNIST at paper scale, 10,000 images at small scale."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Curves, the equal-parameter rule, verdicts."""
        conv = _conv(config)
        fans = (*(row for row, _ in nets.MNIST_CONV.rows), conv.dense)
        alone = _alone(config)
        asked: list[Asked] = [(conv, fan) for fan in fans]
        asked += [(junctions, fan) for junctions, some in alone for fan in some]
        runs = train_junctions(asked, config, _SEEDS[config.scale])
        figures = draw(
            config.folder,
            "predefined-fig2",
            [epoch_panel(runs, conv, fans), *([_by_density(runs, alone)] if alone else [])],
        )
        return Reproduction(
            name="predefined-fig2",
            title="MNIST with sparse classification layers",
            source=f"{SOURCE}, Fig. 2",
            conventions=(_training(conv, alone), *runs.remarks),
            tables=(
                _table(runs, [(conv, fans)], "conv+2CLs: accuracy and overall density of the classification layers"),
                *([_table(runs, alone, "Classification layers alone")] if alone else []),
            ),
            verdicts=_verdicts(runs, conv, alone, config.scale),
            figures=figures,
            data={f"{junctions.network.name} {fan}": runs.accuracies((junctions, fan)) for junctions, fan in asked},
        )


def _conv(config: ExperimentConfig) -> Junctions:
    return Junctions(
        network=nets.MNIST_CONV, model="mnist-conv-2cl", layers=("classifier.0", "classifier.2"),
        data=_data(config), train=_train({"smoke": 1, "small": 5, "paper": 30}[config.scale]),
    )  # fmt: skip


def _alone(config: ExperimentConfig) -> list[tuple[Junctions, tuple[FanOuts, ...]]]:
    """Networks without convolutions and the fan-outs that they are trained with, each up to fully connected."""
    if config.scale == "smoke":
        return []
    train = _train({"small": 12, "paper": 100}[config.scale])
    found: list[tuple[Junctions, tuple[FanOuts, ...]]] = [
        (
            Junctions(
                network=Network(name=f"MNIST CL (x = {hidden})", widths=(784, hidden, 10), rows=()),
                model="mnist-cl", layers=("layers.0", "layers.2"), data=_data(config), train=train,
                options=(("hidden", (hidden,)),),
            ),
            tuple((fan, 10) for fan in _FAN_OUTS[hidden]),
        )
        for hidden in _HIDDEN
    ]  # fmt: skip
    single = Junctions(
        network=_SINGLE, model="mnist-cl", layers=("layers.0",), data=_data(config), train=train, num_classes=16,
        options=(("hidden", ()), ("padded", True)),
    )  # fmt: skip
    return [*found, (single, tuple((fan,) for fan in (1, 2, 4, 8, 16)))]


def _data(config: ExperimentConfig) -> DataConfig:
    if config.scale == "smoke":
        return data_of("fake", config, shape=(1, 28, 28), train=128, test=32)
    return data_of("mnist", config, train_limit=10_000) if config.scale == "small" else data_of("mnist", config)


def _train(epochs: int) -> TrainConfig:
    return replace(ADAM_L2, epochs=epochs)


def _training(conv: Junctions, alone: Sequence[tuple[Junctions, tuple[FanOuts, ...]]]) -> str:
    limit = getattr(conv.data.options, "train_limit", None)
    images = f"{limit:,} training images" if limit else "all training images"
    epochs = f"{conv.train.epochs} epochs" + (f" ({alone[0][0].train.epochs} without convolutions)" if alone else "")
    return f"{images}, {epochs}, Adam at {ADAM_L2.optimizer.lr}, L2 weight {L2:g}, batches of {ADAM_L2.batch_size}."


def _table(runs: JunctionRuns, networks: Sequence[tuple[Junctions, tuple[FanOuts, ...]]], title: str) -> Table:
    rows: list[tuple[TableCell, ...]] = []
    for junctions, fans in networks:
        for fan in fans:
            stats = runs.stats((junctions, fan))
            density = f"{100 * junctions.density(fan):.2f}"
            weights = junctions.network.weights(fan)
            rows.append((junctions.network.name, str(fan), density, weights, stats.text(), len(stats.values)))
    columns = ("network", "fan-outs", "overall density, %", "weights", "test accuracy, %", "runs")
    return Table(title=title, columns=columns, rows=tuple(rows))


def _by_density(runs: JunctionRuns, alone: Sequence[tuple[Junctions, tuple[FanOuts, ...]]]) -> Panel:
    curves = []
    for junctions, fans in alone:
        spreads = [runs.stats((junctions, fan)) for fan in fans]
        curves.append(
            PanelCurve(
                label=junctions.network.name,
                x=tuple(100 * junctions.density(fan) for fan in fans),
                y=tuple(stats.mean for stats in spreads),
                spread=tuple(stats.deviation for stats in spreads),
            )
        )
    return Panel(
        title="MNIST, classification layers alone",
        x_label="overall density, %",
        y_label="test accuracy, %",
        curves=tuple(curves),
        x_scale="log",
    )


def _verdicts(
    runs: JunctionRuns, conv: Junctions, alone: Sequence[tuple[Junctions, tuple[FanOuts, ...]]], scale: Scale
) -> tuple[Verdict, ...]:
    gap = paired(runs.accuracies((conv, _MATCHING)), runs.accuracies((conv, conv.dense)))
    found = [
        Verdict(
            statement=f"behind convolutions 2.35 % match fully connected layers (less than {_AS_GOOD:g} points behind)",
            outcome=at_scale(gap.not_below(_AS_GOOD), scale),
            evidence=f"2.35 % minus fully connected: {gap.signed()} points, {len(gap.values)} seeds",
        )
    ]
    if alone:
        found += [_equal_weights(runs, alone, scale), _half(runs, alone[0][0], scale)]
    return tuple(found)


def _equal_weights(runs: JunctionRuns, alone: Sequence[tuple[Junctions, tuple[FanOuts, ...]]], scale: Scale) -> Verdict:
    """224 at 12.5 % > 112 at 25 % > 56 at 50 % > 28 at 100 %, counted in junction 1."""
    chain = [junctions for junctions, _ in alone if len(junctions.layers) > 1]
    steps = {
        (large.network.widths[1], small.network.widths[1]): paired(
            runs.accuracies((large, (_SHARED, 10))), runs.accuracies((small, (_SHARED, 10)))
        )
        for large, small in pairwise(chain)
    }
    means = ", ".join(f"x = {j.network.widths[1]}: {runs.stats((j, (_SHARED, 10))).text()} %" for j in chain)
    differences = "; ".join(f"{a} minus {b}: {stats.signed()}" for (a, b), stats in steps.items())
    return Verdict(
        statement="at equal weights in junction 1, larger sparse networks are better than smaller dense ones",
        outcome=at_scale(together([stats.outcome for stats in steps.values()]), scale),
        evidence=f"{means}; {differences} points",
    )


def _half(runs: JunctionRuns, large: Junctions, scale: Scale) -> Verdict:
    loss = paired(runs.accuracies((large, (112, 10))), runs.accuracies((large, large.dense)))
    return Verdict(
        statement=f"without convolutions half of the weights can go (less than {_AS_GOOD:g} points behind)",
        outcome=at_scale(loss.not_below(_AS_GOOD), scale),
        evidence=f"x = 224, 50.63 % minus fully connected: {loss.signed()} points, {len(loss.values)} seeds",
    )


MEMBER = PredefinedFig2
