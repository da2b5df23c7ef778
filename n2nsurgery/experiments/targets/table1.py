"""Experiment `table1`: test accuracy of pruned VGG19 and ResNet50 on CIFAR-10 and CIFAR-100.

Source: the N2NSkip paper, Table 1 and section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.experiments.n2nskip.grid import (
    GridPoint,
    GridResults,
    NetworkUnderStudy,
    points_of,
    table1_subjects,
    train_grid,
)
from n2nsurgery.experiments.n2nskip.methods import CONVENTIONS, DENSE, GRANULAR, NORMALIZED, ONE_TO_ONE
from n2nsurgery.experiments.n2nskip.paper_networks import SOURCE
from n2nsurgery.experiments.n2nskip.tables import accuracy_table, better, grows, paired_table, printed_values
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Scale, Verdict

_GAINS = (("N2NSkip-RP", "RP"), ("N2NSkip-CSP", "CSP"))
_COMPARISONS = (
    *_GAINS,
    (NORMALIZED, "RP"),
    (ONE_TO_ONE, "RP"),
    (ONE_TO_ONE, "N2NSkip-RP"),
    (ONE_TO_ONE, "ResSkip-RP"),
    ("N2NSkip-RP", "ResSkip-RP"),
    ("CSP", "RP"),
    *((method, "RP") for method in GRANULAR[:2]),
    *((method, ONE_TO_ONE) for method in GRANULAR[2:]),
    *((method, DENSE) for method in ("RP", "N2NSkip-RP", ONE_TO_ONE)),
)
_COARSE_DENSITIES = (0.05,)


@dataclass(frozen=True, kw_only=True)
class Table1:
    """The paper's table; at small scale with one-to-one skips, ResSkip and coarser granularities beside it."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Accuracies with the printed ones, differences, verdicts."""
        subjects = table1_subjects(config)
        plain = subjects[0] if config.scale == "small" else None
        results = train_grid([*points_of(subjects), *_coarse(plain)], config)
        tables = [accuracy_table(results, subject, subject.methods) for subject in subjects]
        if plain is not None:
            tables.append(accuracy_table(results, plain, GRANULAR, "Coarser granularities, equal non-zeros: "))
        tables.append(paired_table(results, subjects, _COMPARISONS))
        return Reproduction(
            name="table1",
            title="Test accuracy of pruned VGG19 and ResNet50",
            source=f"{SOURCE}, Table 1",
            conventions=(*CONVENTIONS, *(subject.training for subject in subjects), *results.remarks),
            tables=tuple(tables),
            verdicts=(
                *_statements(subjects, results, config.scale),
                printed_values(subjects, results, config.scale),
            ),
            data=results.to_json(),
        )


def _coarse(subject: NetworkUnderStudy | None) -> Iterator[GridPoint]:
    if subject is not None:
        for density in _COARSE_DENSITIES:
            for method in GRANULAR:
                yield GridPoint(subject=subject, method=method, density=density)


def _statements(subjects: Sequence[NetworkUnderStudy], results: GridResults, scale: Scale) -> Iterator[Verdict]:
    for subject in subjects:
        for gain in _GAINS:
            if set(gain) <= set(subject.methods):
                yield better(results, subject, gain, scale)
                if len(subject.densities) > 1:
                    yield grows(results, subject, gain, scale)


MEMBER = Table1
