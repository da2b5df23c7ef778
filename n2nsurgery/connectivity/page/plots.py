"""The plots of a report as matplotlib figures, for notebooks, papers and pictures; the data is that of the page.

Nothing here touches pyplot: a figure is a value, shown by a notebook and written by its `savefig`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from n2nsurgery.connectivity.page import heat_figures, layer_figures
from n2nsurgery.connectivity.page.figure import Figure
from n2nsurgery.connectivity.report.report import ConnectivityReport
from n2nsurgery.imports import extra

with extra("report", "a plot"):
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

Spec = Mapping[str, Any]

COLOURS = {"subject": "#2a78d6", "reference": "#7d7b75", "skip": "#d9561f", "dead": "#c93636"}
"""As on the page: told apart under every common colour blindness."""
_KINDS = {"dead": "dead", "identity": "reference", "layer": "subject", "beside": "subject"}
_WIDTH, _HEIGHT, _ROW = 7.2, 3.6, 0.22
"""Inches: a figure, and one row of names."""
_LETTERS, _TITLE, _LINES = 34, 84, 4
_MOST_ROWS = 24
"""Of a plot that is one of several."""
_SHARE = "K = 10 %"
"""The panel of the scree curves that their title is about."""
_DPI = 160


class Plot(Canvas):
    """A matplotlib figure that a notebook shows without further words."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        _save(self, picture)
        return picture.getvalue()


def plot_heat(report: ConnectivityReport) -> Plot:
    """How much of the heat is still to settle over time, beside the reference.

    This and the other plots raise RunError where matplotlib is not installed.
    """
    return _alone(heat_figures.residual(report))


def plot_limits(report: ConnectivityReport) -> Plot:
    """The blocks that hold the largest shares of the settling time."""
    return _alone(heat_figures.limits(report))


def plot_distance(report: ConnectivityReport) -> Plot:
    """F, the distance of the heat from the reference's, over time."""
    return _alone(heat_figures.distance(report))


def plot_scree(report: ConnectivityReport) -> Plot:
    """Which share of the diffusion the slowest modes hold over time, one panel for each share of them."""
    return _alone(heat_figures.scree(report))


def plot_density(report: ConnectivityReport) -> Plot:
    """Direct and effective density of each layer."""
    return _alone(layer_figures.density(report))


def plot_report(report: ConnectivityReport) -> Plot:
    """The headline above four plots: densities, heat, what limits it, and scree curves."""
    canvas = _canvas(13.0, 8.6)
    canvas.suptitle(_wrapped(report.headline, 120), parse_math=False, fontsize=13, x=0.02, ha="left")
    (density, heat), (limits, scree) = canvas.subplots(2, 2)
    for axes, figure in (
        (density, layer_figures.density(report)),
        (heat, heat_figures.residual(report)),
        (limits, heat_figures.limits(report)),
        (scree, heat_figures.scree(report)),
    ):
        panels: Sequence[Spec] = figure.spec.get("panels", (figure.spec,))
        shown = next((panel for panel in panels if panel.get("title") == _SHARE), panels[0])
        _DRAW[figure.draw](axes, shown, _MOST_ROWS)
        _title(axes, figure.title, 62)
    return canvas


def write_png(report: ConnectivityReport, path: Path) -> None:
    """Write `plot_report` to `path`, the same bytes for the same report."""
    _save(plot_report(report), path)


def _alone(figure: Figure) -> Plot:
    """A figure of the page by itself."""
    panels: Sequence[Spec] = figure.spec.get("panels", (figure.spec,))
    rows = len(figure.spec.get("bars", figure.spec.get("dots", ())))
    canvas = _canvas(_WIDTH if len(panels) == 1 else 3.6 * len(panels), max(_HEIGHT, 1.2 + _ROW * rows))
    for axes, panel in zip(canvas.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _DRAW[figure.draw](axes, panel, rows)
        _title(axes, panel.get("title", ""), _TITLE)
    if len(panels) == 1:
        _title(canvas.axes[0], figure.title, _TITLE)
    else:
        canvas.suptitle(_wrapped(figure.title, _TITLE), parse_math=False, fontsize=11)
    return canvas


def _canvas(width: float, height: float) -> Plot:
    canvas = Plot(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(canvas)
    return canvas


def _lines(axes: Axes, panel: Spec, _most: int) -> None:
    low, high = panel["domain"]
    for line in panel["series"]:
        values = [float("nan") if value is None else max(value, low) for value in line["values"]]
        axes.plot(panel["x"], values, color=COLOURS[line["colour"]], label=line["name"], linewidth=1.8)
    axes.set_xscale("log")
    axes.set_yscale("log" if panel["log"] else "linear")
    axes.set_ylim(low, high * 1.05)
    for level in panel.get("levels", ()):
        axes.axhline(level["y"], color="#bbbbbb", linewidth=0.8)
        axes.annotate(level["label"], (1, level["y"]), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    for mark in panel["marks"]:
        axes.axvline(mark["x"], color="#bbbbbb", linewidth=0.8)
    axes.set_xlabel(panel["xTitle"])
    axes.set_ylabel(panel["yTitle"])
    if len(panel["series"]) > 1:
        axes.legend(frameon=False)


def _bars(axes: Axes, spec: Spec, most: int) -> None:
    bars = spec["bars"][:most]
    colours = [COLOURS[_KINDS.get(bar["kind"], "skip")] for bar in bars]
    drawn = axes.barh(range(len(bars)), [bar["value"] for bar in bars], color=colours, height=0.7)
    axes.bar_label(drawn, labels=[f"{bar['value']:.3g} %" for bar in bars], padding=3, fontsize=8)
    axes.margins(x=0.12)
    _names(axes, [bar["label"] for bar in bars], spec["x"])


def _dots(axes: Axes, spec: Spec, most: int) -> None:
    """Rings for direct and dots for effective densities; of many layers, those with the lowest effective density."""
    lowest = sorted(spec["dots"], key=lambda dot: dot["to"] or 0)[:most]
    dots = [dot for dot in spec["dots"] if dot in lowest][:most]
    for key, name, filling, size in (("from", spec["from"], "none", 42), ("to", spec["to"], COLOURS["subject"], 18)):
        places = [(dot[key], row) for row, dot in enumerate(dots) if dot[key]]
        x, y = ([place[axis] for place in places] for axis in (0, 1))
        axes.scatter(x, y, s=size, facecolors=filling, edgecolors=COLOURS["subject"], label=f"{name} density")
    cut = [row for row, dot in enumerate(dots) if not dot["to"]]
    if cut:
        edge = axes.get_yaxis_transform()
        axes.scatter(
            [0] * len(cut), cut, marker="x", color=COLOURS["dead"], transform=edge, label="nothing gets through"
        )
    axes.set_xscale("log")
    of = f"; the {len(dots)} lowest of {len(spec['dots'])} layers" if len(dots) < len(spec["dots"]) else ""
    _names(axes, [dot["label"] for dot in dots], spec["x"] + of)
    if dots:
        axes.legend(frameon=False, fontsize=8)


def _names(axes: Axes, names: Sequence[str], title: str) -> None:
    """Rows of names from the top, and the title of the axis below them."""
    short = [name if len(name) <= _LETTERS else f"\N{HORIZONTAL ELLIPSIS}{name[1 - _LETTERS :]}" for name in names]
    axes.set_yticks(range(len(names)), labels=[_printable(name) for name in short], parse_math=False, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(title)


def _title(axes: Axes, text: str, letters: int) -> None:
    if text:
        axes.set_title(_wrapped(text, letters), parse_math=False, fontsize=11, loc="left")


def _wrapped(text: str, letters: int) -> str:
    """Lines of at most so many letters; what a name of thousands of letters makes of a title is cut off."""
    return fill(_printable(text), letters, max_lines=_LINES, placeholder=" \N{HORIZONTAL ELLIPSIS}")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _save(canvas: Canvas, target: io.BytesIO | Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in letters that the font lacks
        canvas.savefig(target, format="png", dpi=_DPI, metadata={"Software": None})


_DRAW: Mapping[str, Callable[[Axes, Spec, int], None]] = {"lines": _lines, "bars": _bars, "dots": _dots}
