"""Experiment `fig6`: test error against compression, N2NSkip beside conventional skips.

The values of the paper's ResSkip curves are only in an image; those of N2NSkip are in its Table 1.
Source: the N2NSkip paper, Fig. 6 and section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.experiments.n2nskip.grid import GridPoint, GridResults, NetworkUnderStudy, train_grid, vgg_subjects
from n2nsurgery.experiments.n2nskip.methods import CONVENTIONS, ONE_TO_ONE
from n2nsurgery.experiments.n2nskip.paper_networks import SOURCE, printed
from n2nsurgery.experiments.n2nskip.tables import accuracy_table, better, paired_table
from n2nsurgery.experiments.paper.panels import Panel, PanelCurve, draw
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction

_METHODS = ("RP", "N2NSkip-RP", ONE_TO_ONE, "ResSkip-RP", "CSP", "N2NSkip-CSP", "ResSkip-CSP")
_PAIRS = (("N2NSkip-RP", "ResSkip-RP"), ("N2NSkip-CSP", "ResSkip-CSP"))
_OURS = (ONE_TO_ONE, "ResSkip-RP")


@dataclass(frozen=True, kw_only=True)
class Fig6:
    """VGG19 on CIFAR-10 and CIFAR-100, or what stands for it."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Errors, differences, verdicts, a figure."""
        subjects = vgg_subjects(config)
        methods = tuple(m for m in _METHODS if m != ONE_TO_ONE) if config.scale == "smoke" else _METHODS
        points = [
            GridPoint(subject=subject, method=method, density=density)
            for subject in subjects
            for density in subject.densities
            for method in methods
        ]
        results = train_grid(points, config)
        pairs = (*_PAIRS, _OURS) if ONE_TO_ONE in methods else _PAIRS
        return Reproduction(
            name="fig6",
            title="Test error of VGG19 with N2NSkip and with conventional skips",
            source=f"{SOURCE}, Fig. 6",
            conventions=(*CONVENTIONS, *(subject.training for subject in subjects), *results.remarks),
            tables=(
                *(accuracy_table(results, subject, methods) for subject in subjects),
                paired_table(results, subjects, pairs),
            ),
            verdicts=tuple(
                better(results, subject, pair, config.scale, f"{pair[0]} has a lower error than {pair[1]}")
                for subject in subjects
                for pair in pairs
            ),
            figures=draw(config.folder, "fig6", [_panel(results, subject, methods) for subject in subjects]),
            data=results.to_json(),
        )


def _panel(results: GridResults, subject: NetworkUnderStudy, methods: Sequence[str]) -> Panel:
    curves = []
    for number, method in enumerate(methods):
        spreads = [results.stats(subject.at(method, density)) for density in subject.densities]
        if not any(stats.values for stats in spreads):
            continue
        curves.append(
            PanelCurve(
                label=method,
                x=_compressions(subject.densities),
                y=tuple(100 - stats.mean for stats in spreads),
                spread=tuple(stats.deviation for stats in spreads),
                colour=number,
            )
        )
        paper = [printed(subject.network, subject.dataset, method, density) for density in subject.densities]
        values = [value for value in paper if value is not None]
        if subject.model == "cifar-vgg19" and len(values) == len(paper):
            y, spread = zip(*((100 - mean, deviation) for mean, deviation in values), strict=True)
            x = _compressions(subject.densities)
            curves.append(PanelCurve(label=f"{method}, printed", x=x, y=y, spread=spread, colour=number, paper=True))
    return Panel(
        title=subject.title,
        x_label="compression (dense weights / kept weights)",
        y_label="test error, %",
        curves=tuple(curves),
        x_scale="log",
    )


def _compressions(densities: Sequence[float]) -> tuple[float, ...]:
    return tuple(1 / density for density in densities)


MEMBER = Fig6
