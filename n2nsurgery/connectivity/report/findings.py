"""Findings: what the numbers say in plain words, the worst first, and the headline above them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from n2nsurgery.connectivity.measures.measurement import Number, Quantity
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.report.layer_table import LayerTable

Severity = Literal["severe", "warning", "notice", "good"]
ORDER: tuple[Severity, ...] = ("severe", "warning", "notice", "good")
VERDICTS: dict[Severity, str] = {
    "severe": "badly connected",
    "warning": "weakly connected",
    "notice": "moderately connected",
    "good": "well connected",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence with its evidence.

    `clause`: the same in a few words for the headline, "" where it does not belong there. `remedy`: what to try, ""
    where nothing has to be done. `command`: one that does it, "" where none is known. `verdict`: the one on the network
    as a whole, where this finding decides it.
    """

    severity: Severity
    topic: str
    sentence: str
    clause: str = ""
    evidence: Mapping[str, Quantity] = field(default_factory=dict)
    remedy: str = ""
    command: str = ""
    verdict: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ReportedQuantity:
    """A quantity of one metric, beside the `reference`'s; None where that is not known or infinite.

    `twin`: that of the same network without skips at equal non-zeros, None where it is not measured.
    """

    metric: str
    name: str
    value: Number
    reference: Number
    unit: str
    meaning: str
    twin: Number = None

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        found = {name: getattr(self, name) for name in ("value", "reference", "unit", "meaning")}
        return found | {"without_skips": self.twin}


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What findings are drawn from: the network, its quantities by `metric.name`, and its layers."""

    subject: Subject
    quantities: Mapping[str, ReportedQuantity]
    layers: LayerTable

    def value(self, key: str) -> float:
        """A quantity as a number: infinite where it is None."""
        value = self.quantities[key].value
        return float("inf") if value is None else float(value)

    def reference(self, key: str) -> float:
        """The reference's value of it."""
        value = self.quantities[key].reference
        return float("inf") if value is None else float(value)

    def twin(self, key: str) -> float:
        """The value of the same network without skips."""
        value = self.quantities[key].twin
        return float("inf") if value is None else float(value)

    def shown(self, *keys: str) -> dict[str, Quantity]:
        """Some quantities as evidence."""
        found = {key: self.quantities[key] for key in keys}
        return {key: Quantity(value=q.value, unit=q.unit, meaning=q.meaning) for key, q in found.items()}


Rule = Callable[[Evidence], Finding | None]


def findings(evidence: Evidence, rules: Iterable[Rule]) -> tuple[Finding, ...]:
    """What the `rules` find, the worst first, in the order of the rules among equals; a remedy is said once."""
    found = [each for rule in rules if (each := rule(evidence)) is not None]
    first: dict[str, str] = {}
    said = []
    for each in sorted(found, key=lambda each: ORDER.index(each.severity)):
        topic = first.setdefault(each.command or each.remedy, each.topic) if each.remedy else each.topic
        said.append(each if topic == each.topic else replace(each, remedy=f"As for '{topic}'.", command=""))
    return tuple(said)


def verdict(found: Iterable[Finding]) -> str:
    """The verdict that a finding decides (`cut`, `partly cut`), else that of the worst of the findings.

    A notice counts where the headline names it: that a network has skips, or how its layers mix, is not a verdict.
    """
    found = tuple(found)
    counted = [each.severity for each in found if each.clause or each.severity != "notice"]
    decided = next((each.verdict for each in found if each.verdict), None)
    return decided or VERDICTS[min(counted, key=ORDER.index, default="good")]


def headline(name: str, found: tuple[Finding, ...]) -> str:
    """One sentence: the verdict on the network `name`, and what it rests on."""
    clauses = [each.clause for each in found if each.clause]
    *first, last = clauses or ["nothing was found"]
    return f"{name} is {verdict(found)}: {', '.join(first)}{', and ' if first else ''}{last}."


def percent(share: float) -> str:
    """A share in percent with two significant digits, three from 100 on."""
    value = 100 * share
    return f"{value:.0f} %" if abs(value) >= 10 or value == 0 else f"{value:.2g} %"  # noqa: PLR2004


def times(factor: float) -> str:
    """A factor with two significant digits, or as a whole number."""
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"  # noqa: PLR2004
