"""Findings about heat: into how many parts the network falls, how long heat takes to settle, and what limits it.

How long heat takes is compared with what the loss of weight alone would cost: were all conductances of the reference
scaled down to this network's sum, heat would take vol_ref / vol times as long. What is beyond that is due to where the
connections are, or to the sizes of their weights; the metric `placement` tells the two apart. The bottleneck of heat is
the block with the largest share in its settling time (`bottleneck_shares`).
"""

from __future__ import annotations

from math import isfinite

from n2nsurgery.connectivity.measures.measurement import SHARE, Quantity
from n2nsurgery.connectivity.report.findings import Evidence, Finding, Severity, percent, times
from n2nsurgery.connectivity.report.layer_table import IDENTITY, LAYER, LayerRow
from n2nsurgery.connectivity.report.remedies import NO_REMEDY, Remedy, more_alive, more_weights_in, with_skips

LEVEL = 1.2
"""Times as long as the reference below which both are said to settle about as fast."""
SLOW, VERY_SLOW, HOPELESS = 2, 10, 100
"""Times as long as the reference: worth a notice, a warning, severe."""
FEW = 0.01
"""Share of the channels below which a delay concerns a few stragglers, and not the network."""
CUT_OFF = 0.05
"""Share of channels outside the largest component that is severe."""
BOTTLENECK, STRICT = 0.25, 0.5
"""Share of one block in the settling time that makes it a bottleneck; above STRICT nothing else matters much."""
NEAR, FAR = 0.05, 0.3
"""F as a share of its bound: close to the reference, far from it."""


def _connections(count: float) -> str:
    return "1 connection has" if count == 1 else f"{count:,.0f} connections have"


def components(evidence: Evidence) -> Finding:
    """Into how many parts the network falls."""
    parts, reference = (f("components.components") for f in (evidence.value, evidence.reference))
    isolated, outside = evidence.value("components.isolated"), 1 - evidence.value("components.giant_share")
    shown = evidence.shown("components.components", "components.isolated", "components.giant_share")
    zero = evidence.value("components.zero_edges")
    silent = f" {_connections(zero)} the value 0, so no heat flows there." if zero else ""
    if parts <= reference:
        whole = "The network is in one piece: connections lead from every channel to every other."
        sentence = whole if parts == 1 else f"The network falls into {parts:,.0f} parts, as the reference does."
        return Finding(severity="good", topic="Components", sentence=sentence + silent, evidence=shown)
    alone = f", {isolated:,.0f} of them single channels without any connection" if isolated else ""
    return Finding(
        severity="severe" if outside >= CUT_OFF else "warning",
        topic="Components",
        clause=f"it falls into {parts:,.0f} parts",
        sentence=f"The network falls into {parts:,.0f} parts{alone} that no connection strong enough to"
        f" conduct joins, and none of value 0; {percent(outside)} of the channels are outside the largest.{silent}",
        evidence=shown,
        remedy=(remedy := more_alive(evidence)).sentence,
        command=remedy.command,
    )


def saturation(evidence: Evidence) -> Finding:
    """How long heat takes, and how much of that the loss of weight explains."""
    ratio, mine = (evidence.value(f"saturation.{name}") for name in ("t_sat_ratio", "volume"))
    shown = evidence.shown("saturation.t_sat", "saturation.t_sat_ratio", "heat-limit.stragglers")
    if not mine:
        return Finding(
            severity="severe", topic="Heat", sentence="No heat flows: nothing conducts.", evidence=shown,
            clause="no heat flows in it",
        )  # fmt: skip
    lost = evidence.reference("saturation.volume") / mine
    shown |= {
        "volume_ratio": Quantity(value=lost, unit="", meaning="Sum of the reference's conductances to this one's")
    }
    if not isfinite(ratio) or not ratio:
        sentence = "In one of the two networks no heat flows, so there is nothing to compare."
        return Finding(severity="notice", topic="Heat", sentence=sentence, evidence=shown)
    severity = _severity_of_delay(evidence, ratio)
    if severity == "good":
        clause = f"heat settles in {times(ratio)} times the reference's time"
        sentence = f"H{clause[1:]}.{_by_sizes(evidence, ratio)}"
        clause = clause if ratio >= LEVEL else "heat settles about as fast as in the reference"
    else:
        clause = f"heat takes {times(ratio)} times as long as in the reference"
        sentence = f"H{clause[1:]} to settle. {_reason(evidence, ratio, lost)}"
    remedy = with_skips(evidence) if ratio >= VERY_SLOW else NO_REMEDY
    return Finding(
        severity=severity,
        topic="Heat",
        sentence=sentence,
        clause=clause,
        evidence=shown,
        remedy=remedy.sentence,
        command=remedy.command,
    )


def _by_sizes(evidence: Evidence, ratio: float) -> str:
    """Where heat is fast by the sizes of weights alone, such as those of new skips: how long places alone make it."""
    equal = evidence.value("placement.t_sat_ratio_equal")
    if not isfinite(equal) or equal < max(SLOW, LEVEL * ratio):
        return ""
    new = ", because those of a new skip are 1" if evidence.layers.skips else ""
    return f" The sizes of weights help{new}: with all of one size it would take {times(equal)} times as long."


def _severity_of_delay(evidence: Evidence, ratio: float) -> Severity:
    few = evidence.subject.limits.stragglers < FEW * evidence.subject.graph.nodes
    if ratio < VERY_SLOW:
        return "good" if ratio < SLOW else "notice"
    return "severe" if ratio >= HOPELESS and not few else "warning"


def _reason(evidence: Evidence, ratio: float, lost: float) -> str:
    """What the delay is due to; between parts that are cut off from each other there is no delay to speak of."""
    stragglers = evidence.subject.limits.stragglers
    where = "a single channel" if stragglers < 1.5 else f"{stragglers:.0f} channels"  # noqa: PLR2004 - of one
    few = stragglers < FEW * evidence.subject.graph.nodes
    waiting = f" The last of it waits in {where}." if few else ""
    if evidence.value("components.components") > evidence.reference("components.components"):
        return f"This is so within the parts that are still connected.{waiting}"
    beyond, alone = ratio / lost, "The smaller total weight alone would make it"
    if 1 / SLOW <= beyond < SLOW:
        return f"The smaller total weight alone explains that.{waiting}"
    return f"{alone} {times(lost)} times as long. {_cause(evidence, lost, faster=beyond < 1)}{waiting}"


def _cause(evidence: Evidence, lost: float, *, faster: bool) -> str:
    """Whether the places of the weights are the cause, or their sizes, which were not the same either."""
    equal = evidence.value("placement.t_sat_ratio_equal")
    by_places = equal / lost < 1 / SLOW if faster else equal / lost >= SLOW
    new = " (those of a new skip are 1)" if evidence.layers.skips else ""
    cause = "where its weights are, not their sizes" if by_places else f"that its weights differ in size{new}"
    difference = "It is faster than that" if faster else "It is slower than that"
    return f"{difference}; the reason is {cause}: with all of one size heat would take {times(equal)} times as long."


def heat_bottleneck(evidence: Evidence) -> Finding | None:
    """What limits the heat, and where the last of it waits."""
    every = [row for row in evidence.layers.rows if row.values["heat_share"] is not None]
    rows = [row for row in every if row.kind != IDENTITY]  # nobody can give more weight to an addition
    if not rows:
        return None
    largest = max(rows, key=lambda row: row.values["heat_share"] or 0)
    share = float(largest.values["heat_share"] or 0)
    groups = [group.name for group in evidence.subject.graph.groups]
    waiting, where = max(zip(evidence.subject.limits.waiting, groups, strict=True))
    shown = {
        "share": Quantity(value=share, unit=SHARE, meaning=f"Share of '{largest.name}' in the settling time"),
        "waiting": Quantity(value=waiting, unit=SHARE, meaning=f"Share of '{where}' in the heat that settles last"),
    }
    ends = f" ({largest.sources[-1]} to {largest.targets[-1]})" if largest.kind != LAYER and largest.sources else ""
    is_skip = largest in evidence.layers.skips
    name = f"{'the skip ' if is_skip else ''}'{largest.name}'{ends}"
    fixed = sum(float(row.values["heat_share"] or 0) for row in every if row.kind == IDENTITY)
    beside = f" Additions of shortcuts hold {percent(fixed)}, which no weight changes." if fixed else ""
    if share < BOTTLENECK:
        sentence = f"No single layer limits the heat: the largest share in its settling time is {percent(share)}, that"
        return Finding(
            severity="good",
            topic="Bottleneck of heat",
            sentence=f"{sentence} of {name}.{beside}",
            clause="no single layer limits it",
            evidence=shown,
        )
    severity = _severity_of_bottleneck(evidence, share)
    remedy = NO_REMEDY if severity == "good" else _more_around(largest, evidence)
    return Finding(
        severity=severity,
        topic="Bottleneck of heat",
        sentence=_limit(name, share, is_skip=is_skip)
        + f" The last heat waits in '{where}' ({percent(waiting)} of it).{beside}",
        clause=f"its heat depends most on {name}" if is_skip else f"its heat is limited by {name}",
        evidence=shown,
        remedy=remedy.sentence,
        command=remedy.command,
    )


def _more_around(row: LayerRow, evidence: Evidence) -> Remedy:
    """What makes a block matter less: more weights in it, or where it is a skip in what it leads around."""
    if row in evidence.layers.skips:
        return Remedy(sentence="More weights in the layers that the skip leads around help, or more skips over them.")
    return more_weights_in(evidence, row)


def _limit(name: str, share: float, *, is_skip: bool) -> str:
    """What a block has to do with the delay; a skip is not to blame for what it carries."""
    if is_skip:
        return (
            f"Heat depends most on {name}, because the layers that it leads around conduct little: were it 10 %"
            f" stronger, heat would settle about {percent(share / 10)} sooner."
        )
    return f"{name} limits the heat: it holds {percent(share)} of the settling time."


def _severity_of_bottleneck(evidence: Evidence, share: float) -> Severity:
    """A bottleneck does harm only where heat is slow: in a fast network, too, some layer is the slowest."""
    delay = evidence.value("saturation.t_sat_ratio")
    if delay < SLOW:
        return "good"
    return "warning" if share >= STRICT and delay >= VERY_SLOW else "notice"


def distance(evidence: Evidence) -> Finding:
    """F, and how much of it is due to the placing of the connections."""
    share, at_star, equal = (evidence.value(f"heat-distance.{name}") for name in ("F_share", "F", "F_equal_volume"))
    whole = evidence.value("components.components") <= evidence.reference("components.components")
    severity: Severity = "warning" if share >= FAR else "good" if share < NEAR and whole else "notice"
    placed = f" With the reference's total weight it would be {equal:.3g}." if at_star else ""
    return Finding(
        severity=severity,
        topic="Distance F",
        sentence=f"When the reference has settled, the heat here differs from it by F = {at_star:.3g}, {percent(share)}"
        f" of the largest possible distance.{placed}",
        evidence=evidence.shown("heat-distance.F", "heat-distance.F_share", "heat-distance.F_equal_volume"),
    )
