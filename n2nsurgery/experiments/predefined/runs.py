"""Training of networks with pre-defined sparsity: fixed fan-outs and fan-ins in their classification layers.

The paper gives optimizers (Adam, SGD for Morse), 30 epochs (100 for MNIST without convolutions) and little else:
learning rates, batch size and the weight of L2 regularization are ours, and the same in every network of a comparison.
Source: "Characterizing sparse connectivity patterns in neural networks", sections 2.2 and 2.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from n2nsurgery.data.config import DataConfig
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.experiments.paper.panels import Panel, PanelCurve
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig
from n2nsurgery.experiments.predefined.networks import FanOuts, Network
from n2nsurgery.experiments.trials.grid import TrialResults, run_grid
from n2nsurgery.experiments.trials.results import TRIALS, results_of
from n2nsurgery.experiments.trials.trial import Trial
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.schedule import ScheduleConfig

SOURCE = "Characterizing sparse connectivity patterns in neural networks"
_BATCH = 128
ADAM = TrainConfig(
    epochs=30,
    batch_size=_BATCH,
    optimizer=OptimizerConfig(name="adam", lr=1e-3, weight_decay=0.0),
    schedule=ScheduleConfig(name="constant"),
    keep_last=1,
)
SGD = replace(ADAM, optimizer=OptimizerConfig(lr=0.2, nesterov=False, weight_decay=0.0))
L2 = 1e-4  # of the MNIST networks
ADAM_L2 = replace(ADAM, optimizer=replace(ADAM.optimizer, weight_decay=L2))


@dataclass(frozen=True, kw_only=True)
class Junctions:
    """A network whose junctions `layers` (names, from the input on) are made sparse, its data and its training."""

    network: Network
    model: str
    layers: tuple[str, ...]
    data: DataConfig
    train: TrainConfig
    num_classes: int | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def density(self, fan_outs: FanOuts) -> float:
        """The overall density of the junctions with these fan-outs."""
        return self.network.weights(fan_outs) / self.network.dense_weights

    @property
    def dense(self) -> FanOuts:
        """The fan-outs of fully connected junctions."""
        return tuple(n_out for n_out, _ in self.network.junctions)

    def trial(self, fan_outs: FanOuts, seed: int, *, download: bool) -> Trial:
        """One run."""
        surgery = None
        if fan_outs != self.dense:
            asked = dict(zip(self.layers, fan_outs, strict=True))
            surgery = SurgeryConfig(fan_out=asked, criterion="fixed-fan", skip="none")
        recipe = Recipe(
            seed=seed,
            model=ModelConfig(name=self.model, num_classes=self.num_classes, options=dict(self.options)),
            data=self.data,
            surgery=surgery,
            train=replace(self.train, seed=seed),
        )
        widths = "-".join(map(str, self.network.widths))
        fans = "-".join(map(str, fan_outs))
        return Trial(name=f"{self.model}-{widths}-fo-{fans}", recipe=recipe, download=download)


Asked = tuple[Junctions, FanOuts]


JunctionRuns = TrialResults[Asked]


def epoch_panel(runs: JunctionRuns, junctions: Junctions, fans: Sequence[FanOuts]) -> Panel:
    """Test accuracy by epoch, a curve for each of the fan-outs, named by their overall density."""
    curves = []
    for fan in fans:
        spreads = runs.by_epoch((junctions, fan))
        curves.append(
            PanelCurve(
                label=f"{100 * junctions.density(fan):.2f} %",
                x=tuple(range(1, len(spreads) + 1)),
                y=tuple(stats.mean for stats in spreads),
                spread=tuple(stats.deviation for stats in spreads),
            )
        )
    return Panel(title=junctions.network.name, x_label="epoch", y_label="test accuracy, %", curves=tuple(curves))


def train_junctions(asked: Sequence[Asked], config: ExperimentConfig, seeds: int) -> JunctionRuns:
    """Train every network with every seed, see `run_grid`; raises the errors of `run_all`."""
    return run_grid(
        asked,
        range(config.seed, config.seed + (config.seeds or seeds)),
        lambda one, seed: one[0].trial(one[1], seed, download=config.download),
        config.folder / TRIALS,
        lambda jobs: results_of(jobs, config.folder / TRIALS, config),
    )


def data_of(name: str, config: ExperimentConfig, **options: Any) -> DataConfig:  # noqa: ANN401 - those of the set
    """The data set `name` below the setting's folder."""
    return DataConfig(name=name, options=DATA_SETS.get(name)(**options), root=config.data)
