"""Two networks on one self-contained HTML page: what each is worth, and where they differ. It needs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from n2nsurgery.connectivity.measures.measurement import Number
from n2nsurgery.connectivity.page.figure import Figure
from n2nsurgery.connectivity.page.heat_figures import FLOOR, TIME
from n2nsurgery.connectivity.page.numbers import in_percent, rounded
from n2nsurgery.connectivity.page.render import HIGHLIGHTS, LEVELS, environment, text_of
from n2nsurgery.connectivity.report.difference import UNITS, ConnectivityDifference
from n2nsurgery.connectivity.report.report import ConnectivityReport

_COUNTED = ("kept", "density", "effective", "dead")
_TOTALS = {name: meaning for name, (_, meaning) in UNITS.items()} | {
    "weights": "Weights of all layers when dense",
    "kept": "Weights that are kept",
    "dead": "Channels on no path from input to output",
}
_DISTANCES = {
    "F": "when the heat of B has settled (t*)",
    "F_share": "the same, as a share of the largest possible distance",
    "F_inf": "in the end; 0 unless a part is cut off",
}
_IN_TOTALS = ("effective-density.direct", "effective-density.effective", "dead-channels.dead")
"""Highlights that the totals of the difference show already."""


def render_diff(difference: ConnectivityDifference, a: ConnectivityReport, b: ConnectivityReport) -> str:
    """The page of `difference`, with the reports on its two networks."""
    return (
        environment()
        .get_template("diff.html.j2")
        .render(
            difference=difference,
            reports={"A": a, "B": b},
            highlights=[(a.quantity(key), b.quantity(key)) for key in HIGHLIGHTS if key not in _IN_TOTALS],
            figures=(residual(a, b), densities(difference), overlaps(difference)),
            levels=LEVELS,
            units=UNITS,
            counted=_COUNTED,
            totals=_TOTALS,
            distances=_DISTANCES,
            style=Markup(text_of("page.css")),  # noqa: S704 - our own file
        )
    )


def residual(a: ConnectivityReport, b: ConnectivityReport) -> Figure:
    """How much of the heat is still to settle in either network, over time."""
    lines = {name: tuple(map(rounded, each.curves["residual"].lines["this network"])) for name, each in _both(a, b)}
    times = tuple(map(rounded, a.curves["residual"].x))
    colours = {"A": "subject", "B": "skip"}
    panel = {
        "title": "",
        "x": times,
        "xTitle": TIME,
        "yTitle": "heat still to settle (share)",
        "log": True,
        "domain": [FLOOR, 1],
        "series": [{"name": name, "colour": colours[name], "values": values} for name, values in lines.items()],
    }
    return Figure(
        id="residual",
        draw="lines",
        title="How soon the heat settles",
        caption="Share of the heat that is still to settle; t* is when the dense reference has settled but for 1/1000."
        " The further right a curve falls, the worse the connectivity.",
        spec={"panels": [panel]},
        columns=(TIME, *lines),
        rows=tuple(zip(times, *lines.values(), strict=True)),
        legend=(("subject", "A"), ("skip", "B")),
    )


def densities(difference: ConnectivityDifference) -> Figure:
    """The effective density of each layer in A and in B."""
    rows = tuple((each.name, _effective(each.a), _effective(each.b)) for each in difference.layers)
    return Figure(
        id="densities",
        draw="dots",
        title="What counts in each layer",
        caption="Share of the layer's weights that is kept and lies on a path from input to output.",
        spec=_dots(rows, "effective density (% of the weights, logarithmic)"),
        columns=("layer", "A", "B"),
        rows=rows,
        legend=(("ring", "A"), ("spot", "B"), ("cross", "nothing gets through in B, or it has no such layer")),
    )


def overlaps(difference: ConnectivityDifference) -> Figure:
    """How far the masks of each layer agree, beside chance."""
    layers = [each for each in difference.layers if each.overlap is not None]
    rows = tuple((each.name, in_percent(each.by_chance), in_percent(each.overlap)) for each in layers)
    return Figure(
        id="overlaps",
        draw="dots",
        title="How far the masks agree",
        caption="Of the pairs of channels that are connected in A or in B, the share that is connected in both.",
        spec=_dots(rows, "overlap (% of the pairs, logarithmic)"),
        columns=("layer", "by chance", "overlap"),
        rows=rows,
        legend=(("ring", "what random masks would share"), ("spot", "shared"), ("cross", "nothing in common")),
    )


def _both(a: ConnectivityReport, b: ConnectivityReport) -> tuple[tuple[str, ConnectivityReport], ...]:
    return (("A", a), ("B", b))


def _effective(side: Mapping[str, Number] | None) -> Number:
    return in_percent(side["effective"]) if side is not None else None


def _dots(rows: Sequence[tuple[str, Number, Number]], title: str) -> dict[str, Any]:
    return {"x": title, "dots": [{"label": name, "from": first, "to": last} for name, first, last in rows]}
