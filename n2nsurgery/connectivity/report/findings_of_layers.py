"""Findings about single layers: whether their connections mix and spread, and what the skips contribute."""

from __future__ import annotations

from n2nsurgery.connectivity.measures.measurement import Quantity
from n2nsurgery.connectivity.report.findings import Evidence, Finding, percent

CLUMPED = 0.8
"""Scatter as a share of a random pattern's, which varies by a few percent from draw to draw."""


def mixing(evidence: Evidence) -> Finding | None:
    """How many layers mix worse than their number of connections allows."""
    poor = evidence.value("ramanujan-gap.not_ramanujan")
    gaps = {row.name: row.values["gap"] for row in evidence.layers.rows if row.values.get("gap") is not None}
    shown = evidence.shown("ramanujan-gap.not_ramanujan", "ramanujan-gap.smallest_gap")
    if not gaps:
        return None
    if not poor:
        sentence = f"All {len(gaps)} layers mix as well as an optimal expander of their number of connections."
        return Finding(severity="good", topic="Mixing", sentence=sentence, evidence=shown)
    worst = min(gaps, key=lambda name: gaps[name] or 0.0)
    return Finding(
        severity="notice",
        topic="Mixing",
        sentence=f"{poor:.0f} of {len(gaps)} layers mix worse than an optimal expander of as many connections,"
        f" '{worst}' the worst (gap {gaps[worst]:.2g}).",
        evidence=shown,
    )


def spreading(evidence: Evidence) -> Finding | None:
    """The layer whose connections are clumped most, where one is."""
    ratios = {
        row.name: ratio
        for row in evidence.layers.rows
        if (ratio := row.values.get("ratio")) is not None and row.values["kept"]
    }
    clumped = min(ratios, key=lambda name: ratios[name], default=None)
    if clumped is None or ratios[clumped] >= CLUMPED:
        return None
    return Finding(
        severity="notice",
        topic="Spreading",
        sentence=f"The connections of '{clumped}' are clumped: its scatter is {percent(ratios[clumped])} of a random"
        " pattern's.",
        evidence={"ratio": Quantity(value=ratios[clumped], unit="", meaning=f"Scatter of '{clumped}' to a random one")},
        remedy="A criterion that draws at random, or --floor-channel 1, spreads them.",
    )


def skips(evidence: Evidence) -> Finding | None:
    """What the skips hold, and how much the heat gains by them."""
    rows = evidence.layers.skips
    if not rows:
        return None
    held = sum(row.values["kept"] or 0 for row in rows)
    total = sum(row.values["kept"] or 0 for row in evidence.layers.rows)
    share = sum(row.values["heat_share"] or 0 for row in rows)
    weights = held / total if total else 0.0
    return Finding(
        severity="notice",
        topic="Skips",
        sentence=f"{len(rows)} skips hold {held:,} weights ({percent(weights)} of those kept) and carry heat: if they"
        f" conducted 1 % more, it would settle {share:.2g} % sooner.",
        evidence={
            "held": Quantity(value=held, unit="weights", meaning="Kept weights of the skips"),
            "held_share": Quantity(value=weights, unit="", meaning="Their share of all kept weights"),
            "heat_share": Quantity(value=share, unit="", meaning="Share of the skips in what limits the heat"),
        },
    )
