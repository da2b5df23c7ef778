"""The layer table: one row for each layer, skip and identity edge, in the order of execution, with all that is known.

Columns come from the graph itself and from the metrics; a metric that is added brings its columns along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, Nodes
from n2nsurgery.connectivity.measures.measurement import Column, Measurement, Number
from n2nsurgery.connectivity.measures.subject import Subject

LAYER, BESIDE, IDENTITY = "layer", "beside", "identity"
"""Kinds of rows besides the kinds of skips: a group's own layer, another one into the same channels (the projection of
a shortcut), and edges without weights."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A column's name in JSON, its title, unit ("" for pure numbers) and meaning."""

    key: str
    title: str
    unit: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """All calls of one layer. `sources` and `targets` name the groups of channels between which it runs."""

    name: str
    kind: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    values: Mapping[str, Number]


@dataclass(frozen=True, kw_only=True)
class LayerTable:
    """Rows with one value, or None, under each head."""

    heads: tuple[Head, ...]
    rows: tuple[LayerRow, ...]

    def of_kind(self, *kinds: str) -> tuple[LayerRow, ...]:
        """The rows of these kinds."""
        return tuple(row for row in self.rows if row.kind in kinds)

    @property
    def skips(self) -> tuple[LayerRow, ...]:
        """The rows of grafted skips: all whose kind is none of the network's own."""
        return tuple(row for row in self.rows if row.kind not in (LAYER, BESIDE, IDENTITY))

    def to_json(self) -> dict[str, Any]:
        """Heads by key, and the rows."""
        return {
            "columns": {h.key: {"title": h.title, "unit": h.unit, "meaning": h.meaning} for h in self.heads},
            "rows": [
                {"name": row.name, "kind": row.kind, "sources": list(row.sources), "targets": list(row.targets)}
                | dict(row.values)
                for row in self.rows
            ],
        }


OWN = (
    Head(key="in", title="inputs", unit="channels", meaning="Channels that the layer reads"),
    Head(key="out", title="outputs", unit="channels", meaning="Channels that the layer writes"),
    Head(key="weights", title="weights", unit="weights", meaning="Weights of the layer when dense"),
    Head(key="kept", title="kept", unit="weights", meaning="Weights that the mask keeps"),
    Head(key="dead_in", title="dead inputs", unit="channels", meaning="Channels it reads that lie on no path"),
    Head(key="dead_out", title="dead outputs", unit="channels", meaning="Channels it writes that lie on no path"),
)
TITLES = {
    "direct": "density",
    "effective": "effective density",
    "path_share": "paths",
    "heat_share": "limits heat",
    "waiting": "heat waiting",
    "gap": "Ramanujan gap",
    "sigma_2": "sigma 2",
    "f": "scatter forwards",
    "b": "scatter backwards",
    "ratio": "scatter to random",
}
ORDER = ("direct", "effective", "path_share", "heat_share", "waiting", "gap")
REPLACED = ("dead", "channels")
"""Columns by group that the own ones say for every row."""


def layer_table(subject: Subject, measurements: Mapping[str, Measurement]) -> LayerTable:
    """The table of `subject`."""
    columns = {key: each for m in measurements.values() for key, each in m.columns.items() if key not in REPLACED}
    first = [key for key in ORDER if key in columns]
    columns = {key: columns[key] for key in (*first, *sorted(columns.keys() - set(first)))}
    heads = tuple(
        Head(key=key, title=TITLES.get(key, key.replace("_", " ")), unit=each.unit, meaning=each.meaning)
        for key, each in columns.items()
    )
    blocks: dict[str, list[Block]] = {}
    for block in subject.graph.blocks:
        blocks.setdefault(block.name, []).append(block)
    shares = _identity_shares(subject)
    rows = tuple(_row(subject, calls, columns, shares) for calls in blocks.values())
    return LayerTable(heads=(*OWN, *heads), rows=rows)


def _row(
    subject: Subject,
    calls: list[Block],
    columns: Mapping[str, Column],
    shares: Mapping[str, float],
) -> LayerRow:
    name, graph = calls[0].name, subject.graph
    sources, targets = (np.unique(np.concatenate(ends)) for ends in zip(*((b.sources, b.targets) for b in calls)))  # noqa: B905 - pairs
    into, dead = groups_of(graph, targets), ~subject.reach.alive
    values: dict[str, Number] = {
        "in": len(sources),
        "out": len(targets),
        "weights": sum(block.size for block in calls),
        "kept": sum(block.kept_weights for block in calls),
        "dead_in": int(dead[sources].sum()),
        "dead_out": int(dead[targets].sum()),
    }
    values |= {key: column.values.get(name) for key, column in columns.items()}
    if not calls[0].size:
        values |= {"heat_share": shares.get(name)}
    own = IDENTITY if not calls[0].size else LAYER if name in into else BESIDE
    return LayerRow(
        name=name, kind=subject.skips.get(name, own), sources=groups_of(graph, sources), targets=into, values=values
    )


def groups_of(graph: ChannelGraph, nodes: Nodes) -> tuple[str, ...]:
    """The names of the groups to which `nodes` belong, in order."""
    starts = np.array([group.start for group in graph.groups])
    found = np.unique(np.searchsorted(starts, nodes, side="right") - 1)
    return tuple(graph.groups[index].name for index in found)


def _identity_shares(subject: Subject) -> dict[str, float]:
    """What the identity edges, which no metric has a column for, contribute to the limits of heat."""
    pairs = zip(subject.graph.blocks, subject.limits.shares, strict=bool(subject.limits.shares))
    return {block.name: share for block, share in pairs if not block.size}
