"""Experiment `accuracy`: what sparse networks reach after a full training, at equal non-zeros.

Ours, beyond the paper: all images, augmentation, 40 epochs or more. Asked is whether learnable skips are ahead of none,
and of parameter-free ones, and in which networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from n2nsurgery.experiments.n2nskip.grid import (
    GridResults,
    NetworkUnderStudy,
    at_full_training,
    basic_subject,
    plain_subject,
    points_of,
    table1_subjects,
    tiny_subject,
    train_grid,
)
from n2nsurgery.experiments.n2nskip.methods import (
    CONVENTIONS,
    DENSE,
    GRASP,
    GUARDED,
    GUARDED_ONE_TO_ONE,
    GUARDED_RESIDUAL,
    LONGER_RESIDUAL,
    ONE_TO_ONE,
    RULES,
    SHORTER,
    SYNFLOW,
    UNIFORM,
    fading,
    with_rule,
)
from n2nsurgery.experiments.n2nskip.paper_networks import SOURCE
from n2nsurgery.experiments.n2nskip.tables import Comparison, accuracy_table, better, paired_table
from n2nsurgery.experiments.paper.panels import Panel, PanelCurve, draw
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Reproduction, Scale, Verdict

_DENSITIES = (0.05, 0.02)
_FIRST = ("RP", ONE_TO_ONE, LONGER_RESIDUAL)  # a grid that is stopped after them has answered the first question
_ITOP, _SET = (with_rule(rule, LONGER_RESIDUAL) for rule in ("ITOP", "SET"))
_SNIP_ITOP, _SNIP_ITOP_LEARNABLE = (with_rule("ITOP", method) for method in (GUARDED_RESIDUAL, GUARDED_ONE_TO_ONE))
_GRADUAL, _GRADUAL_LEARNABLE = (with_rule("GMP", method) for method in (LONGER_RESIDUAL, ONE_TO_ONE))
_MOVING = tuple(with_rule(rule, method) for method in _FIRST for rule in RULES)
_FADED = (fading(LONGER_RESIDUAL), fading(ONE_TO_ONE))
_SCORED = ("CSP", GUARDED, GUARDED_RESIDUAL, _SNIP_ITOP, _SNIP_ITOP_LEARNABLE, GRASP, SYNFLOW)
_METHODS = (*_FIRST, "ResSkip-RP", SHORTER, "N2NSkip-RP", UNIFORM, *_SCORED, *_MOVING, *_FADED)
_SMOKE = _FIRST[:2]
_CHANGING = (_SET, _ITOP, _SNIP_ITOP, _GRADUAL)
# of which it is asked how they do beside RP and the dense network
_CANDIDATES = (ONE_TO_ONE, LONGER_RESIDUAL, *_CHANGING)
_AHEAD = 3.0  # points of percent over RP: the bar of the best sparse network
_NEAR = -2.0  # points of percent from the dense network at 5 %
_COMPARISONS: tuple[Comparison, ...] = (
    (ONE_TO_ONE, "RP"),
    (ONE_TO_ONE, LONGER_RESIDUAL),
    (SHORTER, "ResSkip-RP"),
    (LONGER_RESIDUAL, "RP"),
    ("ResSkip-RP", "RP"),
    ("N2NSkip-RP", "RP"),
    (ONE_TO_ONE, DENSE),
    (LONGER_RESIDUAL, DENSE),
    *((method, other) for method in _CHANGING for other in ("RP", LONGER_RESIDUAL, DENSE)),
    (_ITOP, _SET),
    (_SNIP_ITOP, _ITOP),
    (_SNIP_ITOP_LEARNABLE, _SNIP_ITOP),
    (_GRADUAL, _SNIP_ITOP),
    (_GRADUAL_LEARNABLE, _GRADUAL),
    (GUARDED, "RP"),
    (GUARDED_RESIDUAL, GUARDED),
    (GUARDED_RESIDUAL, LONGER_RESIDUAL),
    *((method, "RP") for method in (*RULES, *_FADED)),
    *((with_rule(rule, method), rule) for rule in RULES for method in (ONE_TO_ONE, LONGER_RESIDUAL)),
)


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A plain network, a ResNet of basic blocks and one of bottlenecks; at paper scale VGG19 and ResNet50."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Accuracies, differences, verdicts on statements of ours, and accuracy against multiply-accumulates."""
        subjects = _subjects(config)
        results = train_grid(list(points_of(subjects)), config)
        return Reproduction(
            name="accuracy",
            title="Accuracy after full training",
            source=f"ours; the methods are those of {SOURCE}, and further ones",
            conventions=(*CONVENTIONS, *(subject.training for subject in subjects), *results.remarks),
            tables=(
                *(accuracy_table(results, subject, subject.methods) for subject in subjects),
                paired_table(results, subjects, _COMPARISONS),
            ),
            verdicts=tuple(verdict for subject in subjects for verdict in _statements(results, subject, config.scale)),
            figures=draw(config.folder, "accuracy", [_panel(results, subject) for subject in subjects]),
            data=results.to_json(),
        )


def _subjects(config: ExperimentConfig) -> tuple[NetworkUnderStudy, ...]:
    if config.scale == "paper":
        subjects = [subject for subject in table1_subjects(config) if subject.dataset == "CIFAR-10"]
        return tuple(_asked(subject, config, _METHODS) for subject in subjects)
    plain = plain_subject(config)
    if config.scale == "smoke":
        return (replace(plain, methods=_SMOKE),)
    basic = basic_subject(config, _DENSITIES, _METHODS)
    tiny = tiny_subject(config, _DENSITIES, _METHODS, "CIFAR-10")
    return tuple(_asked(subject, config, _METHODS) for subject in (plain, basic, tiny))


def _asked(subject: NetworkUnderStudy, config: ExperimentConfig, methods: tuple[str, ...]) -> NetworkUnderStudy:
    return replace(at_full_training(subject, config), densities=_DENSITIES, methods=methods)


def _statements(results: GridResults, subject: NetworkUnderStudy, scale: Scale) -> Iterator[Verdict]:
    for method in _CANDIDATES:
        if method in subject.methods:
            yield better(results, subject, (method, "RP"), scale, margin=_AHEAD)
            yield better(results, subject, (method, "RP"), scale)
    for comparison in ((ONE_TO_ONE, LONGER_RESIDUAL), (SHORTER, "ResSkip-RP")):
        if set(comparison) <= set(subject.methods):
            yield better(results, subject, comparison, scale)
    at_five = replace(subject, densities=subject.densities[:1])
    for method in _CANDIDATES:
        if method in subject.methods:
            claim = f"{method} is within {-_NEAR:g} points of the dense network"
            yield better(results, at_five, (method, DENSE), scale, claim, margin=_NEAR)


def _panel(results: GridResults, subject: NetworkUnderStudy) -> Panel:
    curves = [
        curve
        for number, (method, densities) in enumerate(
            [(DENSE, (1.0,)), *((method, subject.densities) for method in subject.methods)]
        )
        if (curve := _curve(results, subject, method, densities, number)) is not None
    ]
    return Panel(
        title=subject.title,
        x_label="multiply-accumulates of kept weights, millions",
        y_label="test accuracy, %",
        curves=tuple(curves),
        x_scale="log",
    )


def _curve(
    results: GridResults, subject: NetworkUnderStudy, method: str, densities: Sequence[float], number: int
) -> PanelCurve | None:
    points = [subject.at(method, density) for density in densities]
    points = [point for point in points if results.runs(point)]
    if not points:
        return None
    spreads = [results.stats(point) for point in points]
    return PanelCurve(
        label=method,
        x=tuple(next(iter(results.runs(point).values())).macs / 1e6 for point in points),
        y=tuple(stats.mean for stats in spreads),
        spread=tuple(stats.deviation for stats in spreads),
        colour=number,
    )


MEMBER = Accuracy
