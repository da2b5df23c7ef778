"""What differs between two networks, layer by layer: what they keep, what is alive, and how far their masks agree.

The overlap of two masks A and B of a layer is Jaccard's |A and B| / |A or B|, over its connected pairs of channels: 1
for the same mask. Independent random masks that connect the shares p and q of all pairs overlap by about
p q / (p + q - p q), which stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, Matrix
from n2nsurgery.connectivity.measures.measurement import SHARE, Number, Quantity
from n2nsurgery.connectivity.measures.subject import Origin, Subject
from n2nsurgery.connectivity.metrics.heat_distance import HeatDistance, require_comparable
from n2nsurgery.connectivity.report.notebook import html_table
from n2nsurgery.core.errors import UsageError

SCHEMA = 1
UNITS = {
    "weights": ("weights", "Weights of the layer when dense"),
    "kept": ("weights", "Weights that the mask keeps"),
    "density": (SHARE, "Share of the weights that are kept"),
    "effective": (SHARE, "Share of the weights that are kept and lie on a path from input to output"),
    "dead": ("channels", "Channels it writes that lie on no path from input to output"),
}


@dataclass(frozen=True, kw_only=True)
class LayerDifference:
    """One layer in both networks, None where one of them lacks it; `a` and `b` hold the keys of UNITS.

    `overlap` of the masks and `by_chance`, that of random masks as dense; None where shapes differ.
    """

    name: str
    a: Mapping[str, Number] | None
    b: Mapping[str, Number] | None
    overlap: Number
    by_chance: Number


@dataclass(frozen=True, kw_only=True, repr=False)
class ConnectivityDifference:
    """Two networks compared. `distance`: F and its companions of A against B, empty where `incomparable` says why."""

    a: Origin
    b: Origin
    totals: Mapping[str, tuple[Quantity, Quantity]]
    layers: tuple[LayerDifference, ...]
    distance: Mapping[str, Quantity]
    incomparable: str = ""
    schema: int = SCHEMA

    def __repr__(self) -> str:
        """One line, for whoever prints two networks of thousands of numbers."""
        return f"ConnectivityDifference({self.a.name} against {self.b.name}, {len(self.layers)} layers, {self._f})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the totals of both, and F."""
        totals = {
            name: f"{_shown(a.value)} against {_shown(b.value)} {a.unit}".rstrip()
            for name, (a, b) in self.totals.items()
        }
        return html_table({"networks": f"{self.a.name} against {self.b.name}", **totals, "heat": self._f})

    @property
    def _f(self) -> str:
        return f"F = {_shown(self.distance['F'].value)}" if "F" in self.distance else f"no F: {self.incomparable}"

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values; every number stands beside its unit."""
        return {
            "schema": self.schema,
            "a": asdict(self.a),
            "b": asdict(self.b),
            "totals": {name: {"a": asdict(a), "b": asdict(b)} for name, (a, b) in self.totals.items()},
            "columns": {key: {"unit": unit, "meaning": meaning} for key, (unit, meaning) in UNITS.items()}
            | {
                "overlap": {"unit": SHARE, "meaning": "Connected pairs of channels in both, of those in either"},
                "by_chance": {"unit": SHARE, "meaning": "The overlap of random masks that connect as many pairs"},
            },
            "layers": [asdict(layer) for layer in self.layers],
            "distance": {name: asdict(each) for name, each in self.distance.items()},
            "incomparable": self.incomparable,
        }


def difference(a: Subject, b: Subject) -> ConnectivityDifference:
    """What differs between `a` and `b`, layer by layer and in all.

    Layers are matched by name; one that only one network has is listed without a counterpart. F compares channel by
    channel: where the two do not have the same channels, `distance` is empty and `incomparable` says why.
    """
    mine, theirs = _layers(a.graph), _layers(b.graph)
    names = [*mine, *(name for name in theirs if name not in mine)]
    distance, incomparable = _distance(a, b)
    return ConnectivityDifference(
        a=a.origin,
        b=b.origin,
        totals={key: (_total(key, a), _total(key, b)) for key in UNITS},
        layers=tuple(
            LayerDifference(
                name=name,
                a=_values(a, mine[name]) if name in mine else None,
                b=_values(b, theirs[name]) if name in theirs else None,
                **_overlap(mine.get(name, []), theirs.get(name, [])),
            )
            for name in names
        ),
        distance=distance,
        incomparable=incomparable,
    )


def _shown(value: Number) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _layers(graph: ChannelGraph) -> dict[str, list[Block]]:
    calls: dict[str, list[Block]] = {}
    for layer in graph.layers:
        calls.setdefault(layer.name, []).append(layer)
    return calls


def _values(subject: Subject, calls: list[Block]) -> dict[str, Number]:
    size = sum(block.size for block in calls)
    kept = sum(block.kept_weights for block in calls)
    effective = sum(subject.reach.effective_weights(block) for block in calls)
    targets = np.unique(np.concatenate([block.targets for block in calls]))
    return {
        "weights": size,
        "kept": kept,
        "density": kept / size,
        "effective": effective / size,
        "dead": int(np.count_nonzero(~subject.reach.alive[targets])),
    }


def _total(key: str, subject: Subject) -> Quantity:
    layers = subject.graph.layers
    size = sum(layer.size for layer in layers if layer.name not in subject.skips)
    kept = sum(layer.kept_weights for layer in layers)
    value: dict[str, Number] = {
        "weights": size,
        "kept": kept,
        "density": kept / max(size, 1),
        "effective": sum(subject.reach.effective_weights(layer) for layer in layers) / max(size, 1),
        "dead": int(np.count_nonzero(~subject.reach.alive)),
    }
    unit, meaning = UNITS[key]
    return Quantity(value=value[key], unit=unit, meaning=meaning)


def _overlap(mine: list[Block], theirs: list[Block]) -> dict[str, Number]:
    shapes = [[tuple(block.kept.shape) for block in calls] for calls in (mine, theirs)]
    if not mine or shapes[0] != shapes[1]:
        return {"overlap": None, "by_chance": None}
    both = sum(_in_both(one.mask, other.mask) for one, other in zip(mine, theirs, strict=True))
    left, right = (sum(block.edges for block in calls) for calls in (mine, theirs))
    either, pairs = left + right - both, sum(rows * columns for rows, columns in shapes[0])
    p, q = left / max(pairs, 1), right / max(pairs, 1)
    chance = p * q / (p + q - p * q) if left and right else None
    return {"overlap": both / either if either else None, "by_chance": chance}


def _in_both(one: Matrix, other: Matrix) -> int:
    if sp.issparse(one) or sp.issparse(other):
        return int(sp.csr_array(one).multiply(sp.csr_array(other)).count_nonzero())
    return int(np.count_nonzero(one & other))


def _distance(a: Subject, b: Subject) -> tuple[Mapping[str, Quantity], str]:
    try:
        require_comparable(a, b)
    except UsageError:
        return {}, (
            f"A has {a.graph.nodes:,} channels and {len(a.graph.sources)} inputs, B {b.graph.nodes:,} and"
            f" {len(b.graph.sources)}; F compares channel by channel"
        )
    return HeatDistance().measure(a, b).quantities, ""
