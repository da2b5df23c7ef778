"""The figures about heat: how it settles, what limits it, where it is when, and how far it is from the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from n2nsurgery.connectivity.measures.measurement import Curve, Number
from n2nsurgery.connectivity.page.figure import Figure, legend_of
from n2nsurgery.connectivity.page.numbers import rounded, several
from n2nsurgery.connectivity.page.png import data_url
from n2nsurgery.connectivity.report.findings import percent, times
from n2nsurgery.connectivity.report.findings_of_heat import BOTTLENECK
from n2nsurgery.connectivity.report.layer_table import IDENTITY, LayerRow
from n2nsurgery.connectivity.report.report import ConnectivityReport

TIME = "time, in multiples of t*"
LEGEND = (("subject", "this network"), ("reference", "reference"))
FLOOR = 1e-4
"""Where the axis of the residual ends: a tenth of what counts as settled."""
LISTED = 12
_TOLD = 3
SATURATED = 0.9
"""Value of alpha from which the slow modes are all that matters."""
WARM, COLD = (208, 59, 59), (42, 120, 214)
LEVELS = 100


def residual(report: ConnectivityReport) -> Figure:
    """How much of the heat is still to settle, over time."""
    curve = report.curves["residual"]
    ratio = report.quantity("saturation.t_sat_ratio").value
    if not ratio:
        title = "Heat has nothing to compare itself with"
    elif 0.9 <= ratio <= 1.1:  # noqa: PLR2004 - equal to the eye
        title = "Heat settles as fast as in the reference"
    else:
        title = (
            f"Heat takes {times(ratio)} times as long as in the reference to settle"
            if ratio > 1
            else f"Heat settles in {percent(ratio)} of the reference's time"
        )
    spec = {
        "panels": [
            _panel(curve, ["this network", "reference"], "", "heat still to settle (share)", log=True)
            | {"domain": [FLOOR, 1], "levels": [{"y": 1e-3, "label": "settled"}]}
        ]
    }
    return Figure(
        id="residual",
        draw="lines",
        title=title,
        caption="Share of the heat that is still to settle, |S(t) - S(∞)| / |S(0) - S(∞)|, over time; t* is when the"
        " reference has settled but for 1/1000. The further right a curve falls, the worse the connectivity.",
        spec=spec,
        columns=_titles(curve),
        rows=_rows(curve),
        legend=LEGEND,
    )


def distance(report: ConnectivityReport) -> Figure:
    """F over time."""
    curve = report.curves["F"]
    at_star, share = report.quantity("heat-distance.F").value or 0.0, report.quantity("heat-distance.F_share").value
    largest = max((value or 0.0) for value in curve.lines["F"])
    panel = _panel(curve, ["F"], "", "F(t) (heat, 2-norm)", log=True)
    least = min((value for value in curve.lines["F"] if value), default=0.0)
    panel |= {"domain": [max(largest * 1e-6, least / 2), largest] if largest else [0, 1], "log": bool(largest)}
    return Figure(
        id="distance",
        draw="lines",
        title=f"At t* the heat differs from the reference's by F = {at_star:.3g}, {percent(share or 0.0)} of the"
        " largest possible distance",
        caption="F(t) = |S_ref(t) - S(t)|, the distance of the two heat signatures. It goes to 0 whenever both networks"
        " are connected. So its size at a stated time counts, and how late it falls.",
        spec={"panels": [panel]},
        columns=_titles(curve),
        rows=_rows(curve),
    )


def scree(report: ConnectivityReport) -> Figure:
    """Alpha over time, one panel for each K."""
    curve = report.curves["alpha"]
    shares = [name for name in curve.lines if not name.endswith(", reference")]
    error = report.quantity("scree.standard_error").value or 0.0
    panels = [
        _panel(curve, [share, f"{share}, reference"], f"K = {share}", "alpha(K, t) (share)", log=False)
        | {"domain": [0, 1]}
        for share in shares
    ]
    return Figure(
        id="scree",
        draw="lines",
        title=_scree_title(curve),
        caption="Scree curves: which share of the diffusion the slowest K % of the modes hold. Curves that overlap mean"
        " similar connectivity; earlier saturation at 1 means better connectivity."
        + (f" Estimated, standard error {error:.1g}." if error else ""),
        spec={"panels": panels},
        columns=_titles(curve),
        rows=_rows(curve),
        legend=LEGEND,
    )


def _scree_title(curve: Curve) -> str:
    mine, theirs = (_crossing(curve, name) for name in ("10 %", "10 %, reference"))
    if mine is None or theirs is None or 0.9 <= mine / theirs <= 1.1:  # noqa: PLR2004 - equal to the eye
        return "How soon the slowest modes are all that is left of diffusion"
    ratio = mine / theirs
    when = f"{times(ratio)} times as late as" if ratio > 1 else f"{times(1 / ratio)} times as early as"
    return f"The slowest 10 % of the modes are left alone {when} in the reference"


def _crossing(curve: Curve, name: str) -> float | None:
    """The time at which a line reaches 0.9 for good; None where it starts or ends elsewhere."""
    values = np.array([value or 0.0 for value in curve.lines.get(name, ())])
    below = np.flatnonzero(values < SATURATED)
    if not below.size or below[-1] + 1 >= len(values):
        return None
    before = int(below[-1])
    part = (SATURATED - values[before]) / (values[before + 1] - values[before])
    return float(np.exp(np.interp(part, [0, 1], np.log(curve.x[before : before + 2]))))


def limits(report: ConnectivityReport) -> Figure:
    """The blocks that limit the heat most."""
    rows = [row for row in report.layers.rows if row.values["heat_share"] is not None]
    rows.sort(key=lambda row: -(row.values["heat_share"] or 0))
    with_weights = [row for row in rows if row.kind != IDENTITY]
    largest = float(with_weights[0].values["heat_share"] or 0) if with_weights else 0.0
    if not with_weights:
        title = "No heat flows, so nothing limits it"
    elif largest >= BOTTLENECK:
        name, is_skip = with_weights[0].name, with_weights[0] in report.layers.skips
        what = f"Heat depends most on the skip '{name}'" if is_skip else f"'{name}' limits the heat"
        title = f"{what}: it holds {percent(largest)} of the settling time"
    else:
        title = f"No single layer limits the heat: the largest share is {percent(largest)}"
    shown = rows[:LISTED]
    return Figure(
        id="limits",
        draw="bars",
        title=title,
        caption=f"The {len(shown)} of {len(rows)} blocks with the largest shares in the settling time. If a block's"
        " connections were 1 % stronger, heat would settle sooner by 1 % times its share. All shares add up to 100 %."
        + _ends([row for row in shown if row in report.layers.skips]),
        spec={"x": "share of the settling time (%)", "bars": [_bar(row) for row in shown]},
        columns=("block", "kind", "from", "to", "share of the settling time (%)"),
        rows=tuple((row.name, row.kind, *_between(row), _bar(row)["value"]) for row in rows),
        legend=legend_of(row.kind for row in shown),
    )


def _bar(row: LayerRow) -> dict[str, Any]:
    source, target = _between(row)
    share = rounded(100 * (row.values["heat_share"] or 0))
    return {
        "label": row.name,
        "value": share,
        "kind": row.kind,
        "note": f"{row.kind}, {source} \N{RIGHTWARDS ARROW} {target}",
    }


def _between(row: LayerRow) -> tuple[str, str]:
    return several(row.sources), several(row.targets)


def _ends(skips: Sequence[LayerRow]) -> str:
    """Between which layers skips run, which their names do not say."""
    told = "; ".join(f"{row.name} leads from {' to '.join(_between(row))}" for row in skips[:_TOLD])
    return f" {told}{'; ...' if len(skips) > _TOLD else '.'}" if skips else ""


def warmth(report: ConnectivityReport) -> Figure:
    """Where the heat is when."""
    heat = report.warmth
    last = max(range(len(heat.groups)), key=lambda index: _arrival(heat.values[index]))
    arrival, late = _arrival(heat.values[last]), sum(_arrival(values) == len(heat.x) for values in heat.values)
    panels = [
        {"title": title, "image": data_url(_levels(values), _diverging()), "values": values}
        for title, values in (("this network", heat.values), ("reference", heat.reference))
    ]
    return Figure(
        id="warmth",
        draw="warmth",
        title=f"{late} of {len(heat.groups)} layers have not got half of their heat after {heat.x[-1]:,.0f} t*"
        if late
        else f"'{heat.groups[last]}' is the last layer that heat reaches: after {heat.x[arrival]:.2g} t* it has half of"
        " its share",
        caption="Layers from the input (top) to the output, over time. Blue: little of its final heat has arrived; red:"
        " more than its final heat; blank: settled.",
        spec={"x": list(map(rounded, heat.x)), "xTitle": TIME, "groups": list(heat.groups), "panels": panels},
        columns=("layer", *(f"{x:.3g} t*" for x in heat.x)),
        rows=tuple((group, *values) for group, values in zip(heat.groups, heat.values, strict=True)),
        legend=(("cold", "little heat yet"), ("warm", "more than in the end")),
    )


def _arrival(values: tuple[Number, ...]) -> int:
    """The index of the first time at which a layer has half of its final heat: warmth -1/3."""
    return next((k for k, value in enumerate(values) if (value or 0.0) >= -1 / 3), len(values))


def _levels(values: tuple[tuple[Number, ...], ...]) -> np.ndarray:
    return np.round((np.array(values, dtype=float) + 1) * LEVELS).astype(np.uint8)


def _diverging() -> list[tuple[int, int, int, int]]:
    """201 colours from cold over transparent to warm."""
    return [
        (*(COLD if level < LEVELS else WARM), round(255 * abs(level - LEVELS) / LEVELS))
        for level in range(2 * LEVELS + 1)
    ]


def _panel(curve: Curve, lines: list[str], title: str, y: str, *, log: bool) -> dict[str, object]:
    return {
        "title": title,
        "x": list(map(rounded, curve.x)),
        "xTitle": TIME,
        "yTitle": y,
        "log": log,
        "marks": [{"x": 1, "label": "t*"}],
        "series": [
            {
                "name": name,
                "colour": "reference" if name.endswith("reference") else "subject",
                "values": list(map(rounded, curve.lines[name])),
            }
            for name in lines
        ],
    }


def _titles(curve: Curve) -> tuple[str, ...]:
    return (TIME, *curve.lines)


def _rows(curve: Curve) -> tuple[tuple[Number, ...], ...]:
    return tuple(tuple(map(rounded, row)) for row in zip(curve.x, *curve.lines.values(), strict=True))
