"""Curves in panels, as PNG and SVG: the paper's numbers dashed and hollow beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from n2nsurgery.experiments.paper.figures import COLOURS, MARKERS, figure_file
from n2nsurgery.imports import extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL = (6.0, 4.2)  # inches
_COLOURS, _MARKERS = (*COLOURS[1:], COLOURS[0]), (*MARKERS[1:], "*")
_FEW = 6  # points along a logarithmic axis that are named one by one
_STEPS = (1.0, 2.0, 5.0)  # what is named of each decade where there are more
_WITHIN = 8  # curves whose legend has room among the points
_LEGEND_COLUMNS, _LEGEND_LINE = 2, 0.16  # of a legend below the axes; a line in inches
_SEEN_THROUGH = 0.6  # opacity of points without a line, which may lie on one another


@dataclass(frozen=True, kw_only=True)
class PanelCurve:
    """Points under one `label`; `spread`: one standard deviation at each. `colour`: its number, the order by default.

    `paper`: numbers of the paper. `joined`: whether a line runs through the points.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    spread: tuple[float | None, ...] = ()
    colour: int | None = None
    paper: bool = False
    joined: bool = True


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes; `vertical` marks a value of x by a line, with its label."""

    title: str
    x_label: str
    y_label: str
    curves: tuple[PanelCurve, ...]
    x_scale: Literal["linear", "log"] = "linear"
    vertical: tuple[float, str] | None = None


def draw(folder: Path, name: str, panels: Sequence[Panel]) -> tuple[str, ...]:
    """The names of `<name>.png` and `<name>.svg`, written into `folder`."""
    with extra("report", "a figure"):
        import matplotlib as mpl

    names = (f"{name}.png", f"{name}.svg")
    for file in names:
        with (
            mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.size": 9}),
            figure_file(folder / file, width=_PANEL[0] * len(panels), height=_height(panels)) as figure,
        ):
            for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
                _fill(axes, panel)
    return names


def _height(panels: Sequence[Panel]) -> float:
    """In inches, with room for the longest legend below its axes."""
    below = max((len(panel.curves) for panel in panels if _is_crowded(panel)), default=0)
    return _PANEL[1] + _LEGEND_LINE * ceil(below / _LEGEND_COLUMNS)


def _is_crowded(panel: Panel) -> bool:
    return len(panel.curves) > _WITHIN


def style(number: int) -> tuple[str, str]:
    """The colour and the marker of a curve; where colours come again, markers are others."""
    rounds, place = divmod(number, len(_COLOURS))
    return _COLOURS[place], _MARKERS[(place + rounds) % len(_MARKERS)]


def _fill(axes: Axes, panel: Panel) -> None:
    for number, curve in enumerate(panel.curves):
        colour, marker = style(number if curve.colour is None else curve.colour)
        there = [place for place, y in enumerate(curve.y) if isfinite(y)]  # the others are not finished
        axes.errorbar(
            [curve.x[place] for place in there],
            [curve.y[place] for place in there],
            yerr=[curve.spread[place] or 0.0 for place in there] if any(curve.spread) else None,
            label=curve.label,
            color=colour,
            marker=marker,
            markersize=5 if curve.joined else 4,
            markerfacecolor="white" if curve.paper else colour,
            linestyle=("--" if curve.paper else "-") if curve.joined else "none",
            linewidth=1.2,
            capsize=2,
            alpha=1.0 if curve.joined or curve.paper else _SEEN_THROUGH,
        )
    if panel.vertical is not None:
        axes.axvline(panel.vertical[0], color="black", linewidth=0.8)
        axes.annotate(
            panel.vertical[1],
            (panel.vertical[0], 0.02),
            xycoords=("data", "axes fraction"),
            rotation=90,
            ha="right",
            va="bottom",
        )
    _place_ticks(axes, panel)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.grid(visible=True, linewidth=0.4, alpha=0.5)
    if not any(isfinite(y) for curve in panel.curves if not curve.paper for y in curve.y):
        axes.text(0.5, 0.5, "no run yet", transform=axes.transAxes, ha="center", va="center", backgroundcolor="white")
    if any(curve.label for curve in panel.curves):
        if _is_crowded(panel):
            axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=_LEGEND_COLUMNS)
        else:
            axes.legend(fontsize=7)


def _place_ticks(axes: Axes, panel: Panel) -> None:
    """Plain numbers along a logarithmic axis, whole ones where all points are whole, as epochs are."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    axes.set_xscale(panel.x_scale)
    points = sorted({x for curve in panel.curves for x in curve.x})
    if panel.x_scale == "log":
        if len(points) <= _FEW:
            axes.set_xticks(points)
        else:
            axes.xaxis.set_major_locator(LogLocator(subs=_STEPS))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    elif all(float(point).is_integer() for point in points):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
