"""Experiment `connectivity`: whether what the report measures before training tells how accurate a network becomes.

Ours. Networks of one density, pruned by different methods, are trained alike; each measure of their connectivity at
the start is ranked against their test accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, ClassVar

from n2nsurgery.experiments.n2nskip.cell_connectivity import PREDICTORS, connectivity_of
from n2nsurgery.experiments.n2nskip.grid import (
    GridResults,
    NetworkUnderStudy,
    plain_subject,
    table1_subjects,
    train_grid,
)
from n2nsurgery.experiments.n2nskip.methods import (
    CONVENTIONS,
    LONGER_RESIDUAL,
    ONE_TO_ONE,
    SHORTER,
    UNIFORM,
    equal,
)
from n2nsurgery.experiments.n2nskip.paper_networks import SOURCE
from n2nsurgery.experiments.n2nskip.tables import at_scale
from n2nsurgery.experiments.paper.panels import Panel, PanelCurve, draw
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Scale, Table, Verdict
from n2nsurgery.experiments.trials.paired import USEFUL, RankCorrelation, rank_correlation
from n2nsurgery.experiments.trials.results import TRIALS

_WITHOUT = ("RP", UNIFORM, equal("RP"), "RP, kernels", "RP, blocks of 4")
_WITH = (ONE_TO_ONE, SHORTER, equal(ONE_TO_ONE), LONGER_RESIDUAL, "ResSkip-RP", "N2NSkip-RP")
_GROUPS: Mapping[str, tuple[str, ...]] = {"all": (*_WITHOUT, *_WITH), "without skips": _WITHOUT, "with skips": _WITH}
_SMOKE = ("RP", ONE_TO_ONE)
_DENSITIES = (0.05, 0.02)
_DRAWN = "delay of heat"


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """One trained network: its method, seed and test accuracy in percent, and its measures before training."""

    method: str
    seed: int
    accuracy: float
    measures: Mapping[str, float]


_Grid = Mapping[tuple[NetworkUnderStudy, float], Sequence[_Cell]]
"""The cells of each network at each density."""


@dataclass(frozen=True, kw_only=True)
class Connectivity:
    """Eleven methods at two densities: VGG19 and ResNet50, or at small scale the network that stands for VGG19."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Rank correlations of each measure, verdicts, a figure."""
        subjects = _subjects(config)
        points = [s.at(method, density) for s in subjects for density in s.densities for method in s.methods]
        results = train_grid(points, config)
        cells = _cells(results, subjects, config)
        return Reproduction(
            name="connectivity",
            title="Connectivity before training and accuracy after it",
            source=f"ours; the methods are those of {SOURCE}, and further ones",
            conventions=(
                *CONVENTIONS,
                "Measured is the pruned network before its first step, with the report's defaults.",
                "Rank correlations are Spearman's, with their 95 % interval; networks of one method are much alike.",
                f"A statement is reproduced where the interval lies above {USEFUL:g}, refuted where it lies below.",
                *(subject.training for subject in subjects),
                *results.remarks,
            ),
            tables=(_correlations(cells), _values(cells)),
            verdicts=tuple(_verdicts(cells, config.scale)),
            figures=draw(config.folder, "connectivity", [_panel(*one) for one in cells.items()]),
            data={"cells": [_document(place, cell) for place, some in cells.items() for cell in some]},
        )


def _subjects(config: ExperimentConfig) -> tuple[NetworkUnderStudy, ...]:
    if config.scale == "smoke":
        return (replace(plain_subject(config), methods=_SMOKE),)
    subjects = table1_subjects(config)
    if config.scale == "paper":
        subjects = tuple(subject for subject in subjects if subject.dataset == "CIFAR-10")
    else:
        subjects = subjects[:1]
    return tuple(replace(subject, densities=_DENSITIES, methods=_GROUPS["all"]) for subject in subjects)


def _cells(results: GridResults, subjects: Sequence[NetworkUnderStudy], config: ExperimentConfig) -> _Grid:
    """Every finished cell that has left the network it began with."""
    found: dict[tuple[NetworkUnderStudy, float], list[_Cell]] = {
        (subject, density): [] for subject in subjects for density in subject.densities
    }
    for number, (point, runs) in enumerate(results.points.items()):
        config.progress("measuring the networks", number / len(results.points))
        for seed, run in runs.items():
            key = point.subject.trial(point.method, point.density, seed, download=config.download).key
            if (measures := connectivity_of(config.folder / TRIALS, key)) is not None:
                cell = _Cell(method=point.method, seed=seed, accuracy=run.accuracy, measures=measures)
                found[point.subject, point.density].append(cell)
    return {place: cells for place, cells in found.items() if cells}


def _correlation(cells: Sequence[_Cell], name: str, group: str) -> RankCorrelation | None:
    """Of the measure, turned so that a positive number means what is expected."""
    sign = PREDICTORS[name].sign
    chosen = [cell for cell in cells if cell.method in _GROUPS[group]]
    return rank_correlation([sign * cell.measures[name] for cell in chosen], [cell.accuracy for cell in chosen])


def _correlations(cells: _Grid) -> Table:
    rows = []
    for (subject, density), some in cells.items():
        for name, predictor in PREDICTORS.items():
            better = "more" if predictor.sign > 0 else "less"
            texts = [_text(_correlation(some, name, group)) for group in _GROUPS]
            rows.append((subject.title, f"{100 * density:g}", name, better, *texts))
    columns = ("network", "density, %", "measure", "said to be better", *_GROUPS)
    return Table(
        title="Rank correlation with test accuracy, positive where as expected", columns=columns, rows=tuple(rows)
    )


def _text(correlation: RankCorrelation | None) -> str:
    return "too few, or all alike" if correlation is None else correlation.text()


def _values(cells: _Grid) -> Table:
    rows = []
    for (_, density), some in cells.items():
        for method in dict.fromkeys(cell.method for cell in some):
            mine = [cell for cell in some if cell.method == method]
            means = (sum(cell.measures[name] for cell in mine) / len(mine) for name in PREDICTORS)
            accuracy = sum(cell.accuracy for cell in mine) / len(mine)
            shown = [mean if isfinite(mean) else "infinite" for mean in means]
            rows.append((f"{100 * density:g}", method, f"{accuracy:.2f}", *shown))
    return Table(
        title="Means over seeds",
        columns=("density, %", "method", "test accuracy, %", *PREDICTORS),
        rows=tuple(rows),
    )


def _verdicts(cells: _Grid, scale: Scale) -> Iterator[Verdict]:
    for (subject, density), some in cells.items():
        for name, predictor in PREDICTORS.items():
            found = _correlation(some, name, "all")
            better = "more" if predictor.sign > 0 else "less"
            yield Verdict(
                statement=f"{better} {name} before training means more accuracy: {subject.title}, {100 * density:g} %",
                outcome=at_scale("undecided" if found is None else found.useful, scale),
                evidence=_text(found),
            )


def _panel(place: tuple[NetworkUnderStudy, float], cells: Sequence[_Cell]) -> Panel:
    subject, density = place
    curves = [
        PanelCurve(
            label=method,
            x=tuple(cell.measures[_DRAWN] for cell in mine),
            y=tuple(cell.accuracy for cell in mine),
            joined=False,
        )
        for method in dict.fromkeys(cell.method for cell in cells)
        if (mine := [c for c in cells if c.method == method and isfinite(c.measures[_DRAWN])])
    ]
    return Panel(
        title=f"{subject.title}, {100 * density:g} %",
        x_label="delay of heat before training, times the dense network's",
        y_label="test accuracy, %",
        curves=tuple(curves),
        x_scale="log",
    )


def _document(place: tuple[NetworkUnderStudy, float], cell: _Cell) -> dict[str, Any]:
    subject, density = place
    measures = {name: value if isfinite(value) else None for name, value in cell.measures.items()}
    return {
        "network": subject.title,
        "density": density,
        "method": cell.method,
        "seed": cell.seed,
        "accuracy": cell.accuracy,
        "measures": measures,
    }


MEMBER = Connectivity
