"""Experiment `fig5`: test accuracy after every epoch, at 20 times compression.

The paper draws ResNet50 on CIFAR-10 and says that networks with N2NSkip are nearly as good as the dense one during the
first 50 of 300 epochs. Its curves are only in an image; printed are the accuracies at the end (Table 1).
Source: the N2NSkip paper, Fig. 5 and section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import ClassVar

from n2nsurgery.experiments.n2nskip.grid import GridPoint, GridResults, NetworkUnderStudy, table1_subjects, train_grid
from n2nsurgery.experiments.n2nskip.methods import CONVENTIONS, DENSE, NORMALIZED, ONE_TO_ONE
from n2nsurgery.experiments.n2nskip.paper_networks import SOURCE, printed
from n2nsurgery.experiments.n2nskip.tables import at_scale
from n2nsurgery.experiments.paper.panels import Panel, PanelCurve, draw
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Scale, Table, TableCell, Verdict
from n2nsurgery.experiments.trials.paired import SampleStats, paired
from n2nsurgery.experiments.trials.trial import TrialResult

_DENSITY = 0.05
_GROUPS = (("RP", "N2NSkip-RP", NORMALIZED, ONE_TO_ONE), ("CSP", "N2NSkip-CSP"))
_EARLY = 1 / 6  # 50 of 300 epochs
_LEVEL = 1.0  # points of percent: what "nearly equal" may mean


@dataclass(frozen=True, kw_only=True)
class Fig5:
    """At paper scale ResNet50 on CIFAR-10; at small scale both networks that stand for the paper's."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """The curves, means over their first sixth, verdicts."""
        subjects = _subjects(config)
        points = [
            GridPoint(subject=subject, method=method, density=1.0 if method == DENSE else _density(subject))
            for subject in subjects
            for method in (DENSE, *_of(subject, _GROUPS[0]), *_of(subject, _GROUPS[1]))
        ]
        results = train_grid(points, config)
        figures = [
            name
            for subject in subjects
            for name in draw(
                config.folder,
                f"fig5-{subject.model}",
                [_panel(results, subject, group) for group in _GROUPS if _of(subject, group)],
            )
        ]
        return Reproduction(
            name="fig5",
            title="Test accuracy after every epoch at 20 times compression",
            source=f"{SOURCE}, Fig. 5",
            conventions=(
                *CONVENTIONS,
                *(subject.training for subject in subjects),
                *results.remarks,
                "Printed accuracies are drawn at the last epoch, hollow.",
            ),
            tables=tuple(_table(results, subject) for subject in subjects),
            verdicts=tuple(verdict for subject in subjects for verdict in _verdicts(results, subject, config.scale)),
            figures=tuple(figures),
            data=results.to_json(),
        )


def _subjects(config: ExperimentConfig) -> tuple[NetworkUnderStudy, ...]:
    subjects = table1_subjects(config)
    if config.scale != "paper":
        return subjects
    return tuple(s for s in subjects if (s.network, s.dataset) == ("ResNet50", "CIFAR-10"))


def _density(subject: NetworkUnderStudy) -> float:
    return _DENSITY if _DENSITY in subject.densities else subject.densities[0]


def _of(subject: NetworkUnderStudy, group: Sequence[str]) -> tuple[str, ...]:
    return tuple(method for method in group if method in subject.methods)


def _runs(results: GridResults, subject: NetworkUnderStudy, method: str) -> Mapping[int, TrialResult]:
    return results.runs(subject.at(method, 1.0 if method == DENSE else _density(subject)))


def _by_epoch(results: GridResults, subject: NetworkUnderStudy, method: str) -> list[SampleStats]:
    """Test accuracy in percent after each epoch that was evaluated in all runs."""
    epochs = zip(*(run.test for run in _runs(results, subject, method).values()), strict=True)
    return [SampleStats(values=tuple(100 * top1 for top1 in tops if top1 is not None)) for tops in epochs]


def _early(results: GridResults, subject: NetworkUnderStudy, method: str) -> dict[int, float]:
    """Mean test accuracy over the first sixth of the epochs, by seed."""
    found = {}
    for seed, run in _runs(results, subject, method).items():
        first = run.test[: max(1, round(_EARLY * len(run.test)))]
        found[seed] = 100 * mean(top1 for top1 in first if top1 is not None)
    return found


def _panel(results: GridResults, subject: NetworkUnderStudy, group: Sequence[str]) -> Panel:
    methods = (DENSE, *_of(subject, group))
    curves = [_curve(results, subject, method, number) for number, method in enumerate(methods)]
    epochs = subject.train.epochs
    for number, method in enumerate(methods):
        paper = printed(subject.network, subject.dataset, method, 1.0 if method == DENSE else _density(subject))
        if paper is not None and subject.model == "cifar-resnet50":
            label = f"{method}, printed"
            curves.append(
                PanelCurve(label=label, x=(epochs,), y=(paper[0],), spread=(paper[1],), colour=number, paper=True)
            )
    return Panel(
        title=f"{subject.title}, density {100 * _density(subject):g} %",
        x_label="epoch",
        y_label="test accuracy, %",
        curves=tuple(curves),
    )


def _curve(results: GridResults, subject: NetworkUnderStudy, method: str, number: int) -> PanelCurve:
    spreads = _by_epoch(results, subject, method)
    return PanelCurve(
        label=method,
        x=tuple(range(1, len(spreads) + 1)),
        y=tuple(stats.mean for stats in spreads),
        spread=tuple(stats.deviation for stats in spreads),
        colour=number,
    )


def _table(results: GridResults, subject: NetworkUnderStudy) -> Table:
    epochs = subject.train.epochs
    shown = [epoch for epoch in (1, 2, 3, 4, 5, 6, 10, 20, 30, 50, 100, 150, 200, 250, 300) if epoch <= epochs]
    rows: list[tuple[TableCell, ...]] = []
    for method in (DENSE, *_of(subject, _GROUPS[0]), *_of(subject, _GROUPS[1])):
        spreads = _by_epoch(results, subject, method)
        rows.append((method, *(spreads[epoch - 1].text(1) if spreads else None for epoch in shown)))
    return Table(
        title=f"{subject.title}, density {100 * _density(subject):g} %: test accuracy after an epoch, %",
        columns=("method", *(f"epoch {epoch}" for epoch in shown)),
        rows=tuple(rows),
    )


def _verdicts(results: GridResults, subject: NetworkUnderStudy, scale: Scale) -> list[Verdict]:
    first = max(1, round(_EARLY * subject.train.epochs))
    over = f"over the first {first} of {subject.train.epochs} epochs: {subject.title}"
    verdicts = []
    for one, other in (("N2NSkip-RP", "RP"), ("N2NSkip-CSP", "CSP"), (ONE_TO_ONE, "RP")):
        if not {one, other} <= set(subject.methods):
            continue
        faster = paired(_early(results, subject, one), _early(results, subject, other))
        verdicts.append(
            Verdict(
                statement=f"{one} learns faster than {other}, {over}",
                outcome=at_scale(faster.outcome, scale),
                evidence=f"{faster.signed()} points, {len(faster.values)} seeds",
            )
        )
    behind = paired(_early(results, subject, "N2NSkip-RP"), _early(results, subject, DENSE))
    verdicts.append(
        Verdict(
            statement=f"N2NSkip-RP is not behind the dense network (less than {_LEVEL:g} point) {over}",
            outcome=at_scale(behind.not_below(_LEVEL), scale),
            evidence=f"{behind.signed()} points, {len(behind.values)} seeds",
        )
    )
    return verdicts


MEMBER = Fig5
