"""Experiment `skips`: which skips help, and where, at equal non-zeros, in plain networks and in ResNets.

Ours, beyond the paper: it compares its skips with conventional ones only on VGG19 (section 4.1), and divides the
budget among layers by a rule that it does not state. Here one-to-one skips stand against none and against ResSkip;
in ResNets those that lead into the insides of blocks against those that run beside the shortcuts, too; and in plain
networks layers that all keep the same number of weights against ERK's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from n2nsurgery.experiments.n2nskip.grid import (
    GridResults,
    NetworkUnderStudy,
    basic_subject,
    plain_subject,
    points_of,
    table1_subjects,
    tiny_subject,
    train_grid,
)
from n2nsurgery.experiments.n2nskip.methods import (
    CONVENTIONS,
    LONGER_RESIDUAL,
    ONE_TO_ONE,
    SENSITIVE,
    TWO_BLOCKS,
    equal,
)
from n2nsurgery.experiments.n2nskip.paper_networks import SOURCE
from n2nsurgery.experiments.n2nskip.tables import Comparison, accuracy_table, better, paired_table
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Scale, Verdict

_DENSITIES = (0.05, 0.02)
_THREE = ("RP", ONE_TO_ONE, "ResSkip-RP")
_PLAIN = (*_THREE, *map(equal, _THREE), SENSITIVE, "ResSkip-CSP")
_BASIC = (*_THREE, LONGER_RESIDUAL, TWO_BLOCKS, SENSITIVE, "ResSkip-CSP")
_BOTTLENECK = ("RP", ONE_TO_ONE, LONGER_RESIDUAL, TWO_BLOCKS)
_SMOKE = ("RP", ONE_TO_ONE)
_BAR = 5.0  # points of percent: the gain over RP that is asked for
_OVER_RP = ((ONE_TO_ONE, "RP"), (equal(ONE_TO_ONE), equal("RP")), (SENSITIVE, "RP"))
_OVER_OTHERS = (
    (ONE_TO_ONE, "ResSkip-RP"),
    (ONE_TO_ONE, LONGER_RESIDUAL),
    (equal(ONE_TO_ONE), equal("ResSkip-RP")),
    (ONE_TO_ONE, TWO_BLOCKS),
    (equal(ONE_TO_ONE), ONE_TO_ONE),
    (SENSITIVE, ONE_TO_ONE),
    (SENSITIVE, "ResSkip-RP"),
    (SENSITIVE, "ResSkip-CSP"),
)
_COMPARISONS = (*_OVER_RP, *_OVER_OTHERS, (equal("RP"), "RP"), (equal("ResSkip-RP"), "ResSkip-RP"), (TWO_BLOCKS, "RP"))


@dataclass(frozen=True, kw_only=True)
class Skips:
    """At paper scale the CIFAR VGG19 and ResNet50; at small scale a plain network and two small ResNets."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Accuracies, differences, verdicts on statements of ours."""
        subjects = _subjects(config)
        results = train_grid(list(points_of(subjects)), config)
        return Reproduction(
            name="skips",
            title="Which skips help, and where",
            source=f"ours; the methods are those of {SOURCE}, and further ones",
            conventions=(
                *CONVENTIONS,
                "Equal: every layer keeps the same number of weights, a smaller one all of its own.",
                "Two blocks: a skip into a sum that holds an identity, too; it starts one block before it.",
                "ResSkip, k = 3: l -> l+3. ResSkip leads into no sum that holds a shortcut either.",
                *(subject.training for subject in subjects),
                *results.remarks,
            ),
            tables=(
                *(accuracy_table(results, subject, subject.methods) for subject in subjects),
                paired_table(results, subjects, _COMPARISONS),
            ),
            verdicts=tuple(verdict for subject in subjects for verdict in _statements(results, subject, config.scale)),
            data=results.to_json(),
        )


def _subjects(config: ExperimentConfig) -> tuple[NetworkUnderStudy, ...]:
    if config.scale == "paper":
        vgg19, resnet50 = (subject for subject in table1_subjects(config) if subject.dataset == "CIFAR-10")
        return (
            replace(vgg19, densities=_DENSITIES, methods=_PLAIN),
            replace(resnet50, densities=_DENSITIES, methods=_BOTTLENECK),
        )
    plain = plain_subject(config)
    if config.scale == "smoke":
        return (replace(plain, methods=_SMOKE), basic_subject(config, _DENSITIES[:1], _SMOKE))
    return (
        replace(plain, densities=_DENSITIES, methods=_PLAIN),
        basic_subject(config, _DENSITIES, _BASIC),
        tiny_subject(config, _DENSITIES, _BOTTLENECK, "CIFAR-10"),
    )


def _statements(results: GridResults, subject: NetworkUnderStudy, scale: Scale) -> Iterator[Verdict]:
    for comparison in _asked(subject, _OVER_RP):
        yield better(results, subject, comparison, scale, margin=_BAR)
        yield better(results, subject, comparison, scale)
    for comparison in _asked(subject, _OVER_OTHERS):
        yield better(results, subject, comparison, scale)


def _asked(subject: NetworkUnderStudy, comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [comparison for comparison in comparisons if set(comparison) <= set(subject.methods)]


MEMBER = Skips
