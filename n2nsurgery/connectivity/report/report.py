"""ConnectivityReport: whether a network is well connected, why or why not, and every number behind it, as one value.

All metrics of the registry run on the network, those that need no reference on the reference, too. Times are multiples
of t*, the time at which the reference's heat has settled but for 1e-3 (see the metric `heat-distance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from n2nsurgery.connectivity.heat.bottleneck_shares import SETTLED
from n2nsurgery.connectivity.measures.measurement import METRICS, Curve, Measurement, numbers
from n2nsurgery.connectivity.measures.subject import Origin, Subject
from n2nsurgery.connectivity.metrics.heat_distance import require_comparable
from n2nsurgery.connectivity.report import findings_of_heat, findings_of_layers, findings_of_paths
from n2nsurgery.connectivity.report.findings import (
    Evidence,
    Finding,
    ReportedQuantity,
    Rule,
    findings,
    headline,
    verdict,
)
from n2nsurgery.connectivity.report.group_heat import Warmth, warmth
from n2nsurgery.connectivity.report.layer_table import LayerTable, layer_table
from n2nsurgery.connectivity.report.notebook import html_table
from n2nsurgery.core.progress import SILENT, Progress

SCHEMA = 1
SUFFIX = "_reference"
OF_TWIN = ("effective-density", "dead-channels", "components", "saturation", "placement", "heat-distance")
"""The metrics that the twin without skips is measured by."""
POINTS = 61
RULES: tuple[Rule, ...] = (
    findings_of_paths.reachability,
    findings_of_paths.empty_layers,
    findings_of_paths.dead_channels,
    findings_of_paths.wasted_weights,
    findings_of_heat.components,
    findings_of_heat.saturation,
    findings_of_heat.heat_bottleneck,
    findings_of_paths.thinnest_layer,
    findings_of_heat.distance,
    findings_of_layers.spreading,
    findings_of_layers.skips,
    findings_of_layers.mixing,
)


@dataclass(frozen=True, kw_only=True)
class ConnectivityReport:
    """A network's connectivity against a reference on the same channels.

    `conventions` and `notes` say how the graphs were made; they change the numbers and are always shown with them.
    """

    subject: Origin
    reference: Origin
    findings: tuple[Finding, ...]
    quantities: tuple[ReportedQuantity, ...]
    layers: LayerTable
    curves: Mapping[str, Curve]
    warmth: Warmth
    conventions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    schema: int = field(default=SCHEMA)

    def __repr__(self) -> str:
        """One line, for whoever prints a report of thousands of numbers."""
        return f"ConnectivityReport({self.headline!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, and every finding that is not good."""
        told = {f"{each.severity}: {each.topic}": each.sentence for each in self.findings if each.severity != "good"}
        good = ", ".join(each.topic for each in self.findings if each.severity == "good")
        facts = {"network": self.subject.name, "reference": self.reference.name, "verdict": self.verdict}
        return html_table({**facts, **told, **({"good": good} if good else {})})

    @property
    def verdict(self) -> str:
        """`well`, `moderately`, `weakly` or `badly connected`, `partly cut` or `cut`."""
        return verdict(self.findings)

    @property
    def headline(self) -> str:
        """One sentence: the verdict, and what it rests on."""
        return headline(self.subject.name, self.findings)

    def quantity(self, key: str) -> ReportedQuantity:
        """The quantity called `metric.name`; KeyError where there is none."""
        return {f"{q.metric}.{q.name}": q for q in self.quantities}[key]

    def to_json(self) -> dict[str, Any]:
        """The whole report; every number stands beside its unit, none is NaN or infinite."""
        quantities: dict[str, dict[str, Any]] = {}
        for each in self.quantities:
            quantities.setdefault(each.metric, {})[each.name] = each.to_json()
        return {
            "schema": self.schema,
            "subject": asdict(self.subject),
            "reference": asdict(self.reference),
            "verdict": self.verdict,
            "headline": self.headline,
            "findings": [each.to_json() for each in self.findings],
            "quantities": quantities,
            "layers": self.layers.to_json(),
            "curves": {name: asdict(curve) for name, curve in self.curves.items()},
            "warmth": self.warmth.to_json(),
            "conventions": list(self.conventions),
            "notes": list(self.notes),
        }


def report(subject: Subject, reference: Subject | None = None, *, progress: Progress = SILENT) -> ConnectivityReport:
    """The report on `subject` against `reference`, which has the same channels, or else against its own dense form.

    `progress` sees each metric begin. Raises UsageError where the channels differ, and where neither a reference nor a
    dense form is there.

        >>> from n2nsurgery.connectivity import Subject
        >>> from n2nsurgery.connectivity.paths.reach import chain
        >>> graph, dense = (chain([np.full((2, 3), kept), np.full((1, 2), True)]) for kept in (False, True))
        >>> report(Subject(graph=graph, dense=dense)).verdict
        'cut'
    """
    reference = subject.dense_reference if reference is None else reference
    require_comparable(subject, reference)
    mine, theirs = _measured(subject, reference, progress)
    quantities = _quantities(mine, theirs, _measured_twin(subject.twin, reference))
    table = layer_table(subject, mine)
    evidence = Evidence(subject=subject, quantities={f"{q.metric}.{q.name}": q for q in quantities}, layers=table)
    star, multiples = reference.heat.saturation_time(SETTLED), np.geomspace(1e-3, 1e3, POINTS)
    curves = {key: curve for measurement in mine.values() for key, curve in measurement.curves.items()}
    return ConnectivityReport(
        subject=subject.origin,
        reference=reference.origin,
        findings=findings(evidence, RULES),
        quantities=quantities,
        layers=table,
        curves={"residual": _residual(subject, reference, multiples, star), **curves},
        warmth=warmth(subject, reference, multiples, star),
        conventions=subject.conventions,
        notes=(*subject.notes, *(f"Reference: {note}" for note in reference.notes)),
    )


def _measured(
    subject: Subject, reference: Subject, progress: Progress
) -> tuple[dict[str, Measurement], dict[str, Measurement]]:
    mine, theirs, names = {}, {}, METRICS.names()
    for index, name in enumerate(names):
        progress(f"measuring {name}", index / len(names))
        metric = METRICS.get(name)()
        mine[name] = metric.measure(subject, reference)
        if not metric.needs_reference:
            theirs[name] = metric.measure(reference, reference)
    return mine, theirs


def _measured_twin(twin: Subject | None, reference: Subject) -> dict[str, Measurement]:
    return {name: METRICS.get(name)().measure(twin, reference) for name in OF_TWIN} if twin is not None else {}


def _quantities(
    mine: Mapping[str, Measurement], theirs: Mapping[str, Measurement], twins: Mapping[str, Measurement]
) -> tuple[ReportedQuantity, ...]:
    """Every quantity beside its reference's: measured there, or a quantity `..._reference` of the metric."""
    found = []
    for metric, measurement in mine.items():
        named = measurement.quantities
        of_reference, of_twin = (each[metric].quantities if metric in each else {} for each in (theirs, twins))
        for name, each in named.items():
            if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in named:
                continue
            counterpart = of_reference.get(name) or named.get(f"{name}{SUFFIX}")
            found.append(
                ReportedQuantity(
                    metric=metric,
                    name=name,
                    value=each.value,
                    reference=counterpart.value if counterpart else None,
                    unit=each.unit,
                    meaning=each.meaning,
                    twin=of_twin[name].value if name in of_twin else None,
                )
            )
    return tuple(found)


def _residual(subject: Subject, reference: Subject, multiples: np.ndarray, star: float) -> Curve:
    return Curve(
        x=tuple(multiples.tolist()),
        x_unit="t*",
        lines={
            "this network": numbers(subject.heat.residual(multiples * star)),
            "reference": numbers(reference.heat.residual(multiples * star)),
        },
        meaning="Share of the heat that is still to settle, |S(t) - S(inf)| / |S(0) - S(inf)|",
    )
