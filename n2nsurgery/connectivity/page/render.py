"""A report as one self-contained HTML page.

Everything is inside: styles, script, data, pictures. Every name comes from a model or a path: templates escape it in
HTML, JSON inside the script element has no `<`, `>`, `&` or `'` left, and the script writes text nodes only. A content
security policy forbids the page to load anything at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from n2nsurgery.connectivity.graph.channel_graph import ChannelGraph
from n2nsurgery.connectivity.page import heat_figures, layer_figures
from n2nsurgery.connectivity.page.figure import Figure
from n2nsurgery.connectivity.page.glossary import GLOSSARY
from n2nsurgery.connectivity.page.numbers import rounded, several, shown, tied, unbroken
from n2nsurgery.connectivity.page.still import still
from n2nsurgery.connectivity.report.answers import answers
from n2nsurgery.connectivity.report.findings import ReportedQuantity
from n2nsurgery.connectivity.report.report import ConnectivityReport
from n2nsurgery.imports import extra

with extra("report", "the page of a report"):
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    from jinja2.utils import htmlsafe_json_dumps

SCRIPTS = ("marks.js", "figures.js", "raster.js", "page.js")
HIGHLIGHTS = (
    "effective-density.direct",
    "effective-density.effective",
    "dead-channels.dead",
    "dead-channels.dead_outputs",
    "components.components",
    "path-count.paths",
    "saturation.t_sat",
    "saturation.t_sat_ratio",
    "saturation.theta_1",
    "heat-distance.F",
    "heat-distance.F_share",
    "heat-distance.F_equal_volume",
    "heat-limit.largest_share",
    "scatter.scatter",
    "ramanujan-gap.smallest_gap",
)
"""The quantities that are shown first, on the page and in the terminal."""
LEVELS = {"severe": "\N{MULTIPLICATION SIGN}", "warning": "!", "notice": "i", "good": "\N{CHECK MARK}"}


def render(report: ConnectivityReport, graph: ChannelGraph, reference: ChannelGraph) -> str:
    """The page of `report`, with pictures of the two graphs that it is about."""
    figures = _figures(report, graph, reference)
    style, script = (text_of(*names) for names in (("page.css",), SCRIPTS))
    payload = {"report": report.to_json(), "figures": [figure.to_json() for figure in figures]}
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            answers=answers(report.findings),
            figures={figure.id: figure for figure in figures},
            highlights=[report.quantity(key) for key in HIGHLIGHTS],
            others=_others(report.quantities),
            twin=any(each.twin is not None for each in report.quantities),
            kinds=sorted({row.kind for row in report.layers.rows}),
            levels=LEVELS,
            glossary=GLOSSARY,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own files
            script_hash=_hash(script),
            payload=htmlsafe_json_dumps(payload, dumps=_dumps),
        )
    )


def _figures(report: ConnectivityReport, graph: ChannelGraph, reference: ChannelGraph) -> tuple[Figure, ...]:
    return (
        layer_figures.density(report),
        layer_figures.dead(report, graph),
        heat_figures.residual(report),
        heat_figures.limits(report),
        heat_figures.warmth(report),
        heat_figures.distance(report),
        heat_figures.scree(report),
        layer_figures.adjacency(report, graph, reference),
        layer_figures.skip_map(report, graph),
    )


def _others(quantities: Iterable[ReportedQuantity]) -> list[ReportedQuantity]:
    return [each for each in quantities if f"{each.metric}.{each.name}" not in HIGHLIGHTS]


def environment() -> Environment:
    """Our templates: every value is escaped, and a name that is not given is an error."""
    found = Environment(
        loader=PackageLoader("n2nsurgery.connectivity.page"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"shown": shown, "several": several, "tied": tied, "unbroken": unbroken, "still": still}
    return found


def text_of(*names: str) -> str:
    """The files of our templates' folder, one after the other."""
    folder = files("n2nsurgery.connectivity.page") / "templates"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _hash(script: str) -> str:
    """What the content security policy names the script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _dumps(value: object, **_options: object) -> str:
    return json.dumps(_short(value), allow_nan=False, separators=(",", ":"))


def _short(value: Any) -> Any:  # noqa: ANN401 - a document of JSON
    """`value` with its fractions rounded: their last digits depend on the number of threads, and the page must not."""
    if isinstance(value, Mapping):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_short(item) for item in value]
    return rounded(value) if isinstance(value, float) and not value.is_integer() else value
