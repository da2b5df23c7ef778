"""Connectivity in the terminal: what was found, the numbers behind it, and the layers that are worst off."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from n2nsurgery.core.names import counted
from n2nsurgery_cli.console.output import Document, again
from n2nsurgery_cli.console.tables import SEVERITIES, draw_facts, draw_grid, draw_line, draw_table, plain

QUANTITIES = {
    "density": ("effective-density", "direct"),
    "effective density": ("effective-density", "effective"),
    "dead channels": ("dead-channels", "dead"),
    "components": ("components", "components"),
    "paths, log10": ("path-count", "paths"),
    "settling time": ("saturation", "t_sat"),
    "times the reference's": ("saturation", "t_sat_ratio"),
    "... weights of one size": ("placement", "t_sat_ratio_equal"),
    "... every edge 1": ("placement", "t_sat_ratio_binary"),
    "F at t*": ("heat-distance", "F"),
    "F, share of its bound": ("heat-distance", "F_share"),
    "scatter": ("scatter", "scatter"),
}
WORST = 8
SHARE = "share"
"""The unit of numbers in [0, 1] that are shown in percent."""


def draw_report(console: Console, document: Document) -> None:
    """The findings, the important quantities against the reference, and the worst layers."""
    console.print(plain(document["headline"], "bold"))
    draw_facts(console, {"network": _origin(document["subject"]), "reference": _origin(document["reference"])})
    console.print()
    findings = []
    for finding in document["findings"]:
        severity = finding["severity"]
        text = Text.assemble((f"{finding['topic']}: ", "bold"), plain(finding["sentence"]))
        if finding["remedy"]:
            text.append_text(plain(f"\n{finding['remedy']}", "dim"))
        if finding["command"]:
            text.append_text(plain(f"\n{finding['command']}", "cyan"))
        findings.append((Text(severity, style=SEVERITIES[severity]), text))
    draw_grid(console, findings)
    rows = [
        (title, *(_number(found[which], found["unit"]) for which in ("value", "reference", "without_skips")))
        for title, (metric, name) in QUANTITIES.items()
        if (found := document["quantities"].get(metric, {}).get(name)) is not None
    ]
    twin = any(row[-1] != "-" for row in rows)
    columns = ("quantity", "this network", "reference", *(["without skips"] if twin else []))
    draw_table(console, "against the reference", columns, [row if twin else row[:-1] for row in rows])
    _draw_worst(console, document["layers"]["rows"])
    for line in (*document["conventions"], *document["notes"]):
        console.print(plain(line, "dim"))
    if document["written"]:
        draw_line(console, f"written: {document['written']}{again(document)}")


def _draw_worst(console: Console, layers: list[Document]) -> None:
    """The layers with dead channels, wasted weights or a large share in the settling time, the worst first.

    Of several that are as bad, as in a network that is cut, the one of lowest density comes first: it may be the cause.
    """
    changeable = [row for row in layers if row["kind"] != "identity" and _badness(row)]
    worst = sorted(changeable, key=lambda row: (-_badness(row), row["direct"] or 0.0))[:WORST]
    rows = [
        (
            row["name"] if row["kind"] == "layer" else f"{row['name']}\n{row['sources'][-1]} to {row['targets'][-1]}",
            f"{row['kept']:,}",
            _number(row["direct"], SHARE),
            _number(row["effective"], SHARE),
            f"{row['dead_out']:,} of {row['out']:,}",
            f"{round(100 * (row['heat_share'] or 0), 1) or 0.0:.1f} %",
        )
        for row in worst
    ]
    columns = ("layer", "kept", "density", "effective", "dead", "limits heat")
    draw_table(console, f"{len(rows)} of {counted(len(layers), 'layer')}, the worst first", columns, rows)


def _badness(row: Document) -> float:
    """The largest of three shares: dead channels, wasted weights, settling time."""
    dead = row["dead_out"] / max(row["out"], 1)
    wasted = 1 - (row["effective"] or 0) / row["direct"] if row["direct"] else 0.0
    return float(max(dead, wasted, row["heat_share"] or 0))


_TOTALS = {"effective": "effective density", "dead": "dead channels"}


def draw_diff(console: Console, document: Document) -> None:
    """Totals, F, and the layers in which two networks differ."""
    draw_facts(console, {"A": _origin(document["a"]), "B": _origin(document["b"])})
    rows = [
        (_TOTALS.get(name, name), *(_number(both[side]["value"], both[side]["unit"]) for side in ("a", "b")))
        for name, both in document["totals"].items()
    ]
    draw_table(console, "in all", ("", "A", "B"), rows)
    if document["incomparable"]:
        console.print(plain(f"no F: {document['incomparable']}"))
    else:
        found = document["distance"]
        at_star, at_end = (_number(found[key]["value"]) for key in ("F", "F_inf"))
        console.print(plain(f"distance F of their heat: {at_star} when that of B has settled, {at_end} in the end"))
    layers = [
        (
            layer["name"],
            *(
                _number(side[key]) if (side := layer[which]) else "none"
                for key in ("kept", "dead")
                for which in ("a", "b")
            ),
            _number(layer["overlap"], SHARE),
            _number(layer["by_chance"], SHARE),
        )
        for layer in document["layers"]
    ]
    columns = ("layer", "kept A", "kept B", "dead A", "dead B", "overlap", "by chance")
    draw_table(console, counted(len(layers), "layer"), columns, layers)
    if document["written"]:
        draw_line(console, f"written: {document['written']}{again(document)}")


def _origin(named: Document) -> str:
    return f"{named['name']} ({named['origin']})" if named["origin"] else str(named["name"])


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    if unit == SHARE:
        return f"{100 * value:.4g} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
