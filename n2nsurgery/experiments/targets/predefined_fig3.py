"""Experiment `predefined-fig3`: Morse symbols: accuracy against density, and how two junctions best share it.

The sweep goes over integral fan-outs alone; the paper's figure is an image, its appendix 5.1 prints the extremes.
Source: "Characterizing sparse connectivity patterns in neural networks", Fig. 3, section 2.4 and appendix 5.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from n2nsurgery.experiments.n2nskip.tables import at_scale
from n2nsurgery.experiments.paper.panels import Panel, PanelCurve, draw
from n2nsurgery.experiments.paper.reproduction import (
    ExperimentConfig,
    Outcome,
    Reproduction,
    Scale,
    Table,
    TableCell,
    Verdict,
)
from n2nsurgery.experiments.predefined import networks as nets
from n2nsurgery.experiments.predefined.networks import FanOuts
from n2nsurgery.experiments.predefined.runs import (
    SGD,
    SOURCE,
    JunctionRuns,
    Junctions,
    data_of,
    train_junctions,
)
from n2nsurgery.experiments.trials.evenly import evenly
from n2nsurgery.experiments.trials.paired import paired
from n2nsurgery.masks.patterns.fans import fan_out_settings

_SEEDS = {"smoke": 1, "small": 3, "paper": 3}
_EQUAL_SHARES: tuple[FanOuts, ...] = (
    (16, 1), (32, 2), (64, 4), (128, 8), (256, 16), (512, 32), (768, 48), (1024, 64),
)  # fmt: skip
_PANELS = ((0.25, "b"), (0.5, "c"))
_PEAK = (256, 48)  # the paper's best at 50 %
_PRINTED = {0.25: (36.0, 67.0), 0.5: (36.0, 75.0)}  # appendix 5.1: least in junction 1, least in junction 2
_NEGLIGIBLE = 1.0  # points of percent: what "negligible degradation" may mean


@dataclass(frozen=True, kw_only=True)
class PredefinedFig3:
    """All 31 and 63 settings at paper scale, some of them evenly spread at small scale."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Curves, extremes, verdicts."""
        junctions = _junctions(config)
        shares = _EQUAL_SHARES[-2:] if config.scale == "smoke" else _EQUAL_SHARES
        sweeps = {density: _sweep(density, config.scale) for density, _ in _PANELS}
        asked = [(junctions, fans) for fans in (*shares, *(fan for sweep in sweeps.values() for fan in sweep))]
        runs = train_junctions(asked, config, _SEEDS[config.scale])
        panels = [
            _panel(runs, junctions, shares, "(a) both junctions equally dense"),
            *(
                _panel(runs, junctions, sweeps[density], f"({letter}) {100 * density:g} % overall", 100 * density)
                for density, letter in _PANELS
            ),
        ]
        return Reproduction(
            name="predefined-fig3",
            title="Morse symbols: accuracy and density",
            source=f"{SOURCE}, Fig. 3 and appendix 5.1",
            conventions=(_training(junctions), *runs.remarks),
            tables=(
                _table(runs, junctions, shares, "(a) both junctions equally dense"),
                *(
                    _table(runs, junctions, sweeps[density], f"({letter}) {100 * density:g} % overall, shared out")
                    for density, letter in _PANELS
                ),
            ),
            verdicts=_verdicts(runs, junctions, shares, sweeps, config.scale),
            figures=draw(config.folder, "predefined-fig3", panels),
            data={f"{fans}": runs.accuracies((junctions, fans)) for _, fans in asked},
        )


def _junctions(config: ExperimentConfig) -> Junctions:
    counts, epochs = {"smoke": ((4, 1, 1), 1), "small": ((500, 10, 100), 8), "paper": ((5000, 1000, 1000), 30)}[
        config.scale
    ]
    names = ("train_per_class", "validation_per_class", "test_per_class")
    return Junctions(
        network=nets.MORSE, model="morse", layers=("0", "2"),
        data=data_of("morse", config, **dict(zip(names, counts, strict=True))), train=replace(SGD, epochs=epochs),
    )  # fmt: skip


def _training(junctions: Junctions) -> str:
    config, options = junctions.train, junctions.data.options
    per_class = getattr(options, "train_per_class", None)
    return (
        f"{per_class:,} training samples of each of 64 classes, {config.epochs} epochs of SGD, learning rate "
        f"{config.optimizer.lr}, momentum {config.optimizer.momentum}, batches of {config.batch_size}."
    )


def _sweep(density: float, scale: Scale) -> tuple[FanOuts, ...]:
    junctions = nets.MORSE.junctions
    settings = tuple(fan_out_settings(junctions, round(density * nets.MORSE.dense_weights)))
    equal = next(fans for fans in settings if fans[0] == round(1024 * density))
    count = {"smoke": 2, "small": 11, "paper": len(settings)}[scale]
    return evenly(settings, count, () if scale == "smoke" else (equal, _PEAK))


def _table(runs: JunctionRuns, junctions: Junctions, settings: Sequence[FanOuts], title: str) -> Table:
    rows: list[tuple[TableCell, ...]] = []
    for fans in settings:
        one, two = junctions.network.densities(fans)
        stats = runs.stats((junctions, fans))
        rows.append(
            (str(fans), f"{100 * one:.4g}", f"{100 * two:.4g}", f"{100 * junctions.density(fans):.4g}", stats.text(1),
             len(stats.values))
        )  # fmt: skip
    columns = ("fan-outs", "junction 1, %", "junction 2, %", "overall, %", "test accuracy, %", "runs")
    return Table(title=title, columns=columns, rows=tuple(rows))


def _panel(
    runs: JunctionRuns, junctions: Junctions, settings: Sequence[FanOuts], title: str, equal: float | None = None
) -> Panel:  # fmt: skip
    x = tuple(100 * junctions.network.densities(fans)[0] for fans in settings)
    spreads = [runs.stats((junctions, fans)) for fans in settings]
    curve = PanelCurve(
        label="" if equal is None else "measured",
        x=x,
        y=tuple(stats.mean for stats in spreads),
        spread=tuple(stats.deviation for stats in spreads),
    )
    curves = [curve]
    if equal is not None:
        printed = _PRINTED[equal / 100]
        curves.append(PanelCurve(label="printed (appendix 5.1)", x=(x[0], x[-1]), y=printed, paper=True, joined=False))
    return Panel(
        title=title,
        x_label="density of both junctions, %" if equal is None else "density of junction 1, %",
        y_label="test accuracy, %",
        curves=tuple(curves),
        vertical=None if equal is None else (equal, "equal densities"),
    )


def _verdicts(
    runs: JunctionRuns, junctions: Junctions, shares: Sequence[FanOuts], sweeps: dict[float, tuple[FanOuts, ...]],
    scale: Scale,
) -> tuple[Verdict, ...]:  # fmt: skip
    found = [_half(runs, junctions, scale)] if (512, 32) in shares else []
    for density, settings in sweeps.items():
        found += [
            _peak(runs, junctions, density, settings, scale),
            _extremes(runs, junctions, density, settings, scale),
        ]
    return tuple(found)


def _half(runs: JunctionRuns, junctions: Junctions, scale: Scale) -> Verdict:
    loss = paired(runs.accuracies((junctions, (512, 32))), runs.accuracies((junctions, junctions.dense)))
    return Verdict(
        statement=f"half of the weights can go with negligible loss (less than {_NEGLIGIBLE:g} point)",
        outcome=at_scale(loss.not_below(_NEGLIGIBLE), scale),
        evidence=f"50 % minus fully connected: {loss.signed()} points, {len(loss.values)} seeds",
    )


def _peak(
    runs: JunctionRuns, junctions: Junctions, density: float, settings: Sequence[FanOuts], scale: Scale
) -> Verdict:
    equal = round(1024 * density)
    trained = [fans for fans in settings if runs.stats((junctions, fans)).values]
    best = max(trained or settings, key=lambda fans: runs.stats((junctions, fans)).mean)
    even = next((fans for fans in settings if fans[0] == equal), None)
    gain = paired(runs.accuracies((junctions, best)), runs.accuracies((junctions, even)) if even else {})
    beside: Outcome = "refuted" if best[0] > equal else gain.outcome if best[0] < equal else "undecided"
    outcome: Outcome = beside if gain.values else "undecided"
    shares = " and ".join(f"{100 * share:.3g} %" for share in junctions.network.densities(best))
    return Verdict(
        statement=f"at {100 * density:g} % overall the best junction 1 is sparser than junction 2",
        outcome=at_scale(outcome, scale),
        evidence=f"best of {len(trained)} settings: {best}, {shares}, {runs.stats((junctions, best)).text(1)} %; "
        f"minus equal densities: {gain.signed()} points (the best was chosen by the same runs)"
        if gain.values
        else f"{len(trained)} of {len(settings)} settings are finished, equal densities not with the best's seeds",
    )


def _extremes(
    runs: JunctionRuns, junctions: Junctions, density: float, settings: Sequence[FanOuts], scale: Scale
) -> Verdict:
    low, high = settings[0], settings[-1]
    gap = paired(runs.accuracies((junctions, high)), runs.accuracies((junctions, low)))
    printed = _PRINTED[density]
    return Verdict(
        statement=f"at {100 * density:g} % overall, starving junction 1 costs more than starving junction 2",
        outcome=at_scale(gap.outcome, scale),
        evidence=f"{low}: {runs.stats((junctions, low)).text(1)} % ({printed[0]:g} printed); "
        f"{high}: {runs.stats((junctions, high)).text(1)} % ({printed[1]:g} printed); "
        f"difference {gap.signed()} points"
        if gap.values
        else f"{low} and {high} are not both finished",
    )


MEMBER = PredefinedFig3
