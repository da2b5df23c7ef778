"""What a metric hands back, as plain values with units and a sentence each, and the registry of metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, ClassVar, Protocol

from n2nsurgery import registries
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.core.registry import Registry

Number = int | float | None
SHARE = "share"
"""The unit of parts of a whole, which are numbers in [0, 1] and shown in percent."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number, None where it is infinite. `meaning`: one sentence.

    `unit`: "" for pure numbers, SHARE for parts of a whole.
    """

    value: Number
    unit: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number for each layer, by the layer's name."""

    values: Mapping[str, Number]
    unit: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A function on a grid: `lines` by name over the abscissae `x`, which are multiples of `x_unit`."""

    x: tuple[float, ...]
    x_unit: str
    lines: Mapping[str, tuple[Number, ...]]
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Everything that one metric has to say."""

    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


class Metric(Protocol):
    """A measure of connectivity, one file each; its fields are its hyper-parameters.

    `needs_reference`: whether it compares with another network on the same nodes.
    """

    needs_reference: ClassVar[bool]

    def measure(self, subject: Subject, reference: Subject) -> Measurement:
        """The measurement of `subject`; a metric that needs no reference looks at none."""


METRICS: Registry[type[Metric]] = registries.METRICS


def finite(value: float) -> Number:
    """`value` as a JSON number: None where it is infinite or NaN."""
    return value if isfinite(value) else None


def numbers(values: Iterable[float]) -> tuple[Number, ...]:
    """Every value as `finite` gives it."""
    return tuple(finite(float(value)) for value in values)
