"""Findings about paths from the input to the output, along the edges' direction: what is dead, what is thin.

The bottleneck of paths is the layer that holds the fewest weights for each of its channels, among those that most
paths cross. Where weights fall at random, a channel with an average of c of them on one side has none at all with the
probability e^-c, and below c = 1 what one layer reaches dies out in the next, as any branching process does (Erdos and
Renyi, On the evolution of random graphs, 1960). c counts weights on paths, for inputs or outputs, whichever have fewer.
Density says less: of a large layer 1 % is plenty, of a small one nothing. A layer around which most paths lead is none.
"""

from __future__ import annotations

from math import exp

import numpy as np

from n2nsurgery.connectivity.measures.measurement import SHARE, Quantity
from n2nsurgery.connectivity.report.findings import Evidence, Finding, Severity, percent
from n2nsurgery.connectivity.report.layer_table import BESIDE, LAYER, LayerRow
from n2nsurgery.connectivity.report.remedies import left_dense, more_alive

MANY, SOME = 0.5, 0.01
"""Shares of dead channels, or wasted weights, that are severe and that deserve a warning.

A network learns without some of its channels, as long as all outputs are reached; what it has is a smaller one.
"""
THIN, VERY_THIN = 3, 1
"""Weights for each channel: 3 leave one in twenty channels without any, below 1 layers fall apart."""
MOSTLY, NEARLY_ALL = 0.5, 0.9
"""Shares of the paths, or of a layer's channels, that count as most and as nearly all of them."""
NAMED = 3
"""Layers that a sentence names."""


def reachability(evidence: Evidence) -> Finding:
    """Whether every output can be reached."""
    outputs, dead = len(evidence.subject.graph.sinks), int(evidence.value("dead-channels.dead_outputs"))
    shown = evidence.shown("dead-channels.dead_outputs", "path-count.paths", "path-count.paths_lost")
    remedy = more_alive(evidence)
    if dead == outputs:
        return Finding(
            severity="severe",
            topic="Paths",
            sentence=f"No path leads from the input to the output: nothing can be learned; {_severed(evidence)}",
            clause="no path leads from its input to its output",
            verdict="cut",
            evidence=shown,
            remedy=remedy.sentence,
            command=remedy.command,
        )
    if dead:
        return Finding(
            severity="severe",
            topic="Paths",
            sentence=f"{dead:,} of {outputs:,} outputs cannot be reached from the input: they stay constant.",
            clause=f"{dead:,} of its {outputs:,} outputs cannot be reached",
            verdict="partly cut",
            evidence=shown,
            remedy=remedy.sentence,
            command=remedy.command,
        )
    paths, lost = evidence.value("path-count.paths"), evidence.value("path-count.paths_lost")
    left = f", one for every 10^{lost:.0f} of the reference" if lost >= 1 else ""
    return Finding(
        severity="good",
        topic="Paths",
        sentence=f"Every output can be reached from the input, on 10^{paths:.0f} paths{left}.",
        evidence=shown,
    )


def _severed(evidence: Evidence) -> str:
    reachable = evidence.subject.reach.reachable
    groups = evidence.subject.graph.groups
    empty = [g.name for g in groups if g.stop > g.start and not reachable[g.start : g.stop].any()]
    if not empty:
        return "what the input reaches and what reaches the output do not meet."
    row = next((row for row in evidence.layers.rows if row.name == empty[0]), None)
    held = f", with {row.values['kept']:,} of its {row.values['weights']:,} weights" if row else ""
    return f"'{empty[0]}' is the first layer that nothing reaches{held}."


def empty_layers(evidence: Evidence) -> Finding | None:
    """The layers that keep no weight; None where every layer keeps one."""
    layers = [row for row in evidence.layers.of_kind(LAYER, BESIDE) if row.values["weights"]]
    empty = [row.name for row in layers if not row.values["kept"]]
    if not empty:
        return None
    named = ", ".join(f"'{name}'" for name in empty[:NAMED])
    more = f" and {len(empty) - NAMED} more" if len(empty) > NAMED else ""
    holds = "layer keeps" if len(empty) == 1 else "layers keep"
    passed = " Nothing passes them but what shortcuts and skips lead around them."
    remedy = more_alive(evidence)
    return Finding(
        severity="warning",
        topic="Empty layers",
        sentence=f"{len(empty)} of {len(layers)} {holds} no weight: {named}{more}.{passed}",
        clause=f"{len(empty)} of its {len(layers)} layers keep no weight",
        evidence={"empty": Quantity(value=len(empty), unit="layers", meaning="Layers that keep no weight")},
        remedy=remedy.sentence,
        command=remedy.command,
    )


def dead_channels(evidence: Evidence) -> Finding:
    """How many channels are dead, and where most of them are."""
    dead, share = evidence.value("dead-channels.dead"), evidence.value("dead-channels.dead_share")
    shown = evidence.shown("dead-channels.dead", "dead-channels.dead_share")
    if not dead:
        return Finding(
            severity="good",
            topic="Dead channels",
            sentence="No channel is dead: each lies on a path from input to output.",
            clause="no channel is dead",
            evidence=shown,
        )
    if share == 1:
        return Finding(
            severity="severe",
            topic="Dead channels",
            sentence=f"All {dead:,.0f} channels are dead: none lies on a path from input to output.",
            clause="all its channels are dead",
            evidence=shown,
        )
    worst, lost, size = _hit_hardest(evidence)
    remedy = more_alive(evidence)
    worst_share = lost / size
    severity: Severity = (
        "severe"
        if share >= MANY or worst_share >= NEARLY_ALL
        else "warning"
        if share >= SOME or worst_share >= MOSTLY
        else "notice"
    )
    return Finding(
        severity=severity,
        topic="Dead channels",
        sentence=f"{dead:,.0f} of {evidence.subject.graph.nodes:,} channels ({percent(share)}) are dead: they lie on no"
        f" path from input to output; '{worst}' is hit hardest, with {lost:,} of its {size:,}.",
        clause=f"{percent(share)} of its channels are dead",
        evidence=shown
        | {"worst": Quantity(value=worst_share, unit=SHARE, meaning=f"Share of dead channels in '{worst}'")},
        remedy="" if severity == "notice" else remedy.sentence,
        command="" if severity == "notice" else remedy.command,
    )


def _hit_hardest(evidence: Evidence) -> tuple[str, int, int]:
    """The group with the largest share of dead channels, their number, its size; the input only where it is alone.

    Among equals it is the one whose layer keeps the smallest share of its weights, which may be the cause.
    """
    density = {row.name: _number(row, "direct") for row in evidence.layers.rows}
    alive, first = evidence.subject.reach.alive, set(evidence.subject.graph.sources.tolist())
    found = [
        (group.name, int(np.count_nonzero(~alive[group.start : group.stop])), group.stop - group.start)
        for group in evidence.subject.graph.groups
        if group.stop > group.start
    ]
    starts = {group.name: group.start in first for group in evidence.subject.graph.groups}
    return max(found, key=lambda each: (each[1] > 0, not starts[each[0]], each[1] / each[2], -density.get(each[0], 1)))


def wasted_weights(evidence: Evidence) -> Finding | None:
    """Weights that are kept in vain."""
    direct, effective = (evidence.value(f"effective-density.{name}") for name in ("direct", "effective"))
    if not direct:
        return Finding(
            severity="severe", topic="Wasted weights", sentence="No weight is kept.",
            evidence=evidence.shown("effective-density.direct"), remedy="Keep more weights (--density).",
        )  # fmt: skip
    share = 1 - effective / direct
    severity: Severity = "severe" if share >= MANY else "warning" if share >= SOME else "good"
    wasted = evidence.value("effective-density.wasted")
    return Finding(
        severity=severity,
        topic="Wasted weights",
        sentence=f"{wasted:,.0f} kept weights ({percent(share)}) are wasted on dead channels: the effective density is"
        f" {100 * effective:.4g} %, the direct one {100 * direct:.4g} %."
        if wasted
        else f"No kept weight is wasted: direct and effective density are both {percent(direct)}.",
        evidence=evidence.shown("effective-density.direct", "effective-density.effective", "effective-density.wasted"),
        remedy="What keeps the channels alive keeps these weights in use." if severity in {"severe", "warning"} else "",
    )


def thinnest_layer(evidence: Evidence) -> Finding | None:
    """The bottleneck of paths; None where no path is left."""
    rows = [row for row in evidence.layers.rows if row.kind == "layer" and row.values["weights"]]
    crossed = [row for row in rows if _number(row, "path_share") >= MOSTLY]
    if not crossed:
        return None
    thinnest = min(crossed, key=_fan)
    fan, share, remedy = _fan(thinnest), _number(thinnest, "path_share"), left_dense(evidence, thinnest)
    severity: Severity = "warning" if fan < VERY_THIN else "notice" if fan < THIN else "good"
    holds = f"{fan:.2g} weights on paths for each of its channels"
    alone = f"random connections would leave {percent(exp(-fan))} of them without any"
    return Finding(
        severity=severity,
        topic="Thinnest layer",
        sentence=f"'{thinnest.name}' is the bottleneck of paths: it has only {holds}; {alone}, and {percent(share)} of"
        " all paths cross it."
        if severity != "good"
        else f"No layer is too thin for its channels: even '{thinnest.name}' has {holds}.",
        clause=f"its thinnest layer is '{thinnest.name}'" if severity == "warning" else "",
        evidence={
            "fan": Quantity(
                value=fan, unit="weights", meaning=f"Weights on paths for each channel of '{thinnest.name}'"
            ),
            "crossing": Quantity(value=share, unit=SHARE, meaning=f"Share of paths that cross '{thinnest.name}'"),
        },
        remedy=remedy.sentence if severity != "good" else "",
        command=remedy.command if severity != "good" else "",
    )


def _fan(row: LayerRow) -> float:
    """Weights on paths for each input or output channel, whichever is less."""
    return _number(row, "effective") * _number(row, "weights") / max(_number(row, "in"), _number(row, "out"))


def _number(row: LayerRow, key: str) -> float:
    return float(row.values.get(key) or 0.0)
