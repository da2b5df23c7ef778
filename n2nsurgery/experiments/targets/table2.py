"""Experiment `table2`: test accuracy of pruned ResNet50 on ImageNet.

Source: the N2NSkip paper, Table 2 and section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.experiments.n2nskip.grid import points_of, table2_subject, train_grid
from n2nsurgery.experiments.n2nskip.methods import CONVENTIONS
from n2nsurgery.experiments.n2nskip.paper_networks import SOURCE
from n2nsurgery.experiments.n2nskip.tables import accuracy_table, better, paired_table, printed_values
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction

_GAINS = (("N2NSkip-RP", "RP"), ("N2NSkip-CSP", "CSP"))


@dataclass(frozen=True, kw_only=True)
class Table2:
    """The paper's table; at small scale a small bottleneck ResNet on CIFAR-10 at the densities of ImageNet."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Accuracies with the printed ones, differences, verdicts."""
        subject = table2_subject(config)
        results = train_grid(list(points_of([subject])), config)
        gains = [gain for gain in _GAINS if set(gain) <= set(subject.methods)]
        return Reproduction(
            name="table2",
            title="Test accuracy of pruned ResNet50 on ImageNet",
            source=f"{SOURCE}, Table 2",
            conventions=(*CONVENTIONS, subject.training, *results.remarks),
            tables=(accuracy_table(results, subject, subject.methods), paired_table(results, [subject], gains)),
            verdicts=(
                *(better(results, subject, gain, config.scale) for gain in gains),
                printed_values([subject], results, config.scale),
            ),
            data=results.to_json(),
        )


MEMBER = Table2
