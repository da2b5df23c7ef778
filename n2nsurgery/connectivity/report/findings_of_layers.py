"""Findings about single layers: whether their connections mix and spread, and what the skips contribute."""

from __future__ import annotations

from math import isfinite

from n2nsurgery.connectivity.measures.measurement import SHARE, Quantity
from n2nsurgery.connectivity.report.findings import Evidence, Finding, percent, times
from n2nsurgery.connectivity.report.remedies import NO_REMEDY, spread, without_skips

CLUMPED = 0.8
"""Scatter as a share of a random pattern's, which varies by a few percent from draw to draw."""
NOTEWORTHY = 1.1
"""Times as long that heat has to take without skips before they are said to help."""
CHANCE = 0.01
"""Share of the channels by which the numbers of dead ones may differ before skips are said to be the reason."""
HELP, HELP_IN_PART = "Skips help", "Skips help in part"
NO_DIFFERENCE, HARM = "Skips make no difference", "Skips do harm"


def mixing(evidence: Evidence) -> Finding | None:
    """How many layers mix worse than their number of connections allows.

    One with at most one connection for each channel has no gap and is not counted.
    """
    poor = evidence.value("ramanujan-gap.not_ramanujan")
    gaps = {row.name: gap for row in evidence.layers.rows if (gap := row.values.get("gap")) is not None}
    shown = evidence.shown("ramanujan-gap.not_ramanujan", "ramanujan-gap.smallest_gap")
    if not gaps:
        return None
    if not poor:
        sentence = f"All {len(gaps)} layers mix as well as an optimal expander of their number of connections."
        return Finding(severity="good", topic="Mixing", sentence=sentence, evidence=shown)
    worst = min(gaps, key=lambda name: gaps[name])
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
    remedy = spread(evidence)
    return Finding(
        severity="notice",
        topic="Spreading",
        sentence=f"The connections of '{clumped}' are clumped: its scatter is {percent(ratios[clumped])} of a random"
        " pattern's.",
        evidence={
            "ratio": Quantity(value=ratios[clumped], unit=SHARE, meaning=f"Scatter of '{clumped}' to a random one")
        },
        remedy=remedy.sentence,
        command=remedy.command,
    )


def skips(evidence: Evidence) -> Finding | None:
    """What the skips hold, and whether they help: beside a twin without them where there is one."""
    rows = evidence.layers.skips
    if not rows:
        return None
    held = sum(row.values["kept"] or 0 for row in rows)
    total = sum(row.values["kept"] or 0 for row in evidence.layers.rows)
    share = sum(row.values["heat_share"] or 0 for row in rows)
    weights = held / total if total else 0.0
    holders = "1 skip holds" if len(rows) == 1 else f"{len(rows)} skips hold"
    outcome, compared = "", f" If they conducted 1 % more, heat would settle {share:.2g} % sooner."
    if evidence.subject.twin is not None:
        outcome, compared = _against_twin(evidence)
    remedy = without_skips(evidence, harm=outcome == HARM) if outcome in {NO_DIFFERENCE, HARM} else NO_REMEDY
    return Finding(
        severity="good" if outcome == HELP else "notice",
        topic="Skips",
        sentence=f"{holders} {held:,} weights ({percent(weights)} of those kept).{compared}",
        evidence={
            "held": Quantity(value=held, unit="weights", meaning="Kept weights of the skips"),
            "held_share": Quantity(value=weights, unit=SHARE, meaning="Their share of all kept weights"),
            "heat_share": Quantity(value=share, unit=SHARE, meaning="Their share in the settling time of heat"),
        },
        remedy=remedy.sentence,
        command=remedy.command,
    )


def _against_twin(evidence: Evidence) -> tuple[str, str]:
    """What the skips do to the connectivity, and the comparison with the twin in words.

    Heat is compared with all weights of one size: the weight of 1 of a new skip is not a merit of its place. The twin's
    weights lie at random places, so a small difference in dead channels is chance.
    """
    keys = ("placement.t_sat_ratio_equal", "saturation.t_sat_ratio")
    equal, as_is = (evidence.twin(key) / max(evidence.value(key), 1e-12) for key in keys)
    dead, without = evidence.value("dead-channels.dead"), evidence.twin("dead-channels.dead")
    chance = CHANCE * evidence.subject.graph.nodes
    helped = without > dead + chance or equal >= NOTEWORTHY
    harmed = without < dead - chance or equal <= 1 / NOTEWORTHY
    outcome = (HELP_IN_PART if harmed else HELP) if helped else HARM if harmed else NO_DIFFERENCE
    heat = f", and heat takes {times(equal)} times as long if all weights have one size" if isfinite(equal) else ""
    heat += f" ({times(as_is)} times with the sizes as they are)" if heat and isfinite(as_is) else ""
    channels = f"{without:,.0f} channels are dead instead of {dead:,.0f}"
    if without == dead:
        channels = f"as many channels ({dead:,.0f}) are dead" if dead else "no channel is dead either"
    twin = "in a network without skips, with as many weights in all"
    return outcome, f" {outcome}: {twin}, {channels}{heat}."
