"""The figures about layers: what each keeps and what of it counts, what is dead, and where the skips lead."""

from __future__ import annotations

from n2nsurgery.connectivity.graph.channel_graph import ChannelGraph
from n2nsurgery.connectivity.page.adjacency_picture import adjacency_picture
from n2nsurgery.connectivity.page.figure import Figure, legend_of
from n2nsurgery.connectivity.page.numbers import in_percent, rounded, several
from n2nsurgery.connectivity.report.findings import percent
from n2nsurgery.connectivity.report.layer_table import BESIDE, IDENTITY, LAYER, LayerRow
from n2nsurgery.connectivity.report.report import ConnectivityReport


def density(report: ConnectivityReport) -> Figure:
    """Direct and effective density of each layer."""
    rows = report.layers.of_kind(LAYER, BESIDE)
    lost = {row.name: _lost(row) for row in rows}
    worst = max(lost, key=lambda name: lost[name], default="")
    direct, effective = (report.quantity(f"effective-density.{name}").value or 0.0 for name in ("direct", "effective"))
    title = f"{100 * effective:.4g} % of the weights count, of {100 * direct:.4g} % that are kept"
    if not effective:
        title = f"No weight counts: none of the {100 * direct:.4g} % that are kept lies on a path"
    elif worst and lost[worst] > 0.01:  # noqa: PLR2004 - visible in the plot
        title += f"; '{worst}' loses most, {percent(lost[worst])} of its own"
    dots = [
        {
            "label": row.name,
            "from": in_percent(row.values["direct"]),
            "to": in_percent(row.values["effective"]),
            "kept": row.values["kept"],
        }
        for row in rows
    ]
    return Figure(
        id="density",
        draw="dots",
        title=title,
        caption="Share of each layer's weights that is kept (ring) and that also lies on a path from input to output"
        " (dot). Where the two differ, weights are wasted on dead channels.",
        spec={"x": "density (% of the weights, logarithmic)", "dots": dots, "from": "direct", "to": "effective"},
        columns=("layer", "density (%)", "effective density (%)", "kept weights"),
        rows=tuple((d["label"], d["from"], d["to"], d["kept"]) for d in dots),
        legend=(
            ("ring", "direct density"),
            ("spot", "effective density"),
            *([("cross", "nothing gets through")] if any(not d["to"] for d in dots) else []),
        ),
    )


def _lost(row: LayerRow) -> float:
    direct = row.values["direct"] or 0.0
    return 1 - (row.values["effective"] or 0.0) / direct if direct else 0.0


def dead(report: ConnectivityReport, graph: ChannelGraph) -> Figure:
    """Dead channels of each layer."""
    sizes = {group.name: group.stop - group.start for group in graph.groups}
    counts = {row.targets[0]: int(row.values["dead_out"] or 0) for row in report.layers.of_kind(LAYER)}
    found = {name: count for name, count in counts.items() if count}
    total = report.quantity("dead-channels.dead").value or 0
    share = report.quantity("dead-channels.dead_share").value or 0.0
    title = (
        f"{total:,} of {sum(sizes.values()):,} channels ({percent(share)}) are dead, in {len(found)} of"
        f" {len(counts)} layers"
    )
    return Figure(
        id="dead",
        draw="bars",
        title=title if total else "No channel is dead",
        caption="Share of each layer's output channels that lie on no path from the input to the output; layers without"
        " any are left out. A dead channel costs memory and computes nothing.",
        spec={
            "x": "dead channels (% of the layer)",
            "most": 100,
            "bars": [
                {
                    "label": name,
                    "value": rounded(100 * count / sizes[name]),
                    "kind": "dead",
                    "note": f"{count:,} of {sizes[name]:,}",
                }
                for name, count in found.items()
            ],
        },
        columns=("layer", "channels", "dead"),
        rows=tuple((name, sizes[name], count) for name, count in counts.items()),
    )


def skip_map(report: ConnectivityReport, graph: ChannelGraph) -> Figure:
    """The connections that lead around layers, as arcs beside the line of layers."""
    place = {group.name: index for index, group in enumerate(graph.groups)}
    rows = [row for row in report.layers.rows if row.kind != LAYER]
    skips, identities = report.layers.skips, report.layers.of_kind(IDENTITY)
    held = sum(row.values["kept"] or 0 for row in skips)
    title = (
        f"{len(skips)} skips with {held:,} weights lead around layers"
        if skips
        else "There are no skips"
        + (f"; identity edges lead around layers in {len(identities)} places" if identities else "")
    )
    arcs = [
        {
            "name": row.name,
            "kind": row.kind,
            "from": [place[name] for name in row.sources],
            "to": place[row.targets[0]],
            "weights": row.values["kept"],
            "note": f"{several(row.sources)} → {row.targets[0]}",
        }
        for row in rows
        if row.sources and row.targets
    ]
    return Figure(
        id="skips",
        draw="arcs",
        title=title,
        caption="The layers in order from the input. An arc leads from the channels it reads to those it is added to;"
        " the thicker, the more weights it holds."
        if arcs
        else "Every layer reads the one before it alone: what is lost there is lost for all that follows.",
        spec={"groups": [group.name for group in graph.groups], "arcs": arcs},
        columns=("name", "kind", "from", "to", "weights"),
        rows=tuple(
            (row.name, row.kind, ", ".join(row.sources), ", ".join(row.targets), row.values["kept"]) for row in rows
        ),
        legend=legend_of(row.kind for row in rows),
    )


def adjacency(report: ConnectivityReport, graph: ChannelGraph, reference: ChannelGraph) -> Figure:
    """Both networks' adjacency matrices."""
    skips = {row.name: row.kind for row in report.layers.skips}
    pairs = (("this network", graph), ("reference", reference))
    pictures = [(title, each, adjacency_picture(each, skips)) for title, each in pairs]
    panels = [
        {
            "title": f"{title}: {each.edges:,} edges",
            "image": picture.image,
            "nodes": picture.nodes,
            "pixels": picture.pixels,
            "cells": [[cell.source, cell.target, cell.edges, cell.kind] for cell in picture.cells],
        }
        for title, each, picture in pictures
    ]
    share = graph.edges / max(reference.edges, 1)
    names = [group.name for group in graph.groups]
    return Figure(
        id="adjacency",
        draw="adjacency",
        title=f"{graph.edges:,} pairs of channels are connected, {percent(share)} of the reference's"
        f" {reference.edges:,}",
        caption="Rows and columns are all channels in the order of the network, as in the paper's Fig. 3: each layer is"
        " a block beside the diagonal, whatever leads around layers lies farther away. The stronger a colour, the"
        " larger the share of connected pairs.",
        spec={
            "groups": [{"name": group.name, "start": group.start, "stop": group.stop} for group in graph.groups],
            "panels": panels,
        },
        columns=("from", "to", "kind", "edges", "of pairs"),
        rows=tuple(
            (names[c.source], names[c.target], c.kind, c.edges, _pairs(graph, c.source, c.target))
            for c in pictures[0][2].cells
        ),
        legend=legend_of(cell.kind for cell in pictures[0][2].cells),
    )


def _pairs(graph: ChannelGraph, source: int, target: int) -> int:
    sizes = [graph.groups[index].stop - graph.groups[index].start for index in (source, target)]
    return sizes[0] * sizes[1]
