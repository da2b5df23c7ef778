"""Metric `placement`: whether heat is fast because of where the weights are, or because of how large they are.

Heat is solved three times on the same edges, here and in the reference:

    as is             the conductances as the graph has them
    equal magnitude   every kept weight counts as much as their mean; edges without weights stay as they are
    binary            every edge counts 1

What remains of a difference at equal magnitude is due to the places of the weights alone. Skips that start with weights
of 1 beside trained weights of 0.02 speed up heat by their size; the N2NSkip paper, section 3.2, does not tell the two
apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, Matrix
from n2nsurgery.connectivity.measures.measurement import Measurement, Quantity, finite
from n2nsurgery.connectivity.measures.subject import Subject

_RULES = {
    "": "as it is",
    "_equal": "were all kept weights as large as their mean",
    "_binary": "did every edge count 1",
}


@dataclass(frozen=True, kw_only=True)
class Placement:
    """`residual`: the share of the heat that is still to settle, in (0, 1), as in `saturation`."""

    residual: float = 1e-3

    needs_reference: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject) -> Measurement:
        """The ratio of settling times and lambda_2, by each of the three rules."""
        quantities: dict[str, Quantity] = {}
        for rule, words in _RULES.items():
            mine, theirs = (_by(rule, each) for each in (subject, reference))
            times = [each.heat.saturation_time(self.residual) for each in (mine, theirs)]
            ratio = times[0] / times[1] if times[1] else float("inf")
            quantities[f"t_sat_ratio{rule}"] = Quantity(
                value=finite(ratio),
                unit="",
                meaning=f"Times as long as the reference it takes, {words}",
            )
            quantities[f"lambda_2{rule}"] = Quantity(
                value=finite(mine.slow.lambda_2), unit="conductance", meaning=f"Its algebraic connectivity, {words}"
            )
        return Measurement(quantities=quantities)


def _by(rule: str, subject: Subject) -> Subject:
    if not rule:
        return subject
    conductances = _binary if rule == "_binary" else partial(_equal, _mean(subject.graph))
    return Subject(graph=_changed(subject.graph, conductances))


def _changed(graph: ChannelGraph, conductances: Callable[[Block], Matrix]) -> ChannelGraph:
    blocks = tuple(replace(block, weights=conductances(block)) for block in graph.blocks)
    return ChannelGraph(groups=graph.groups, sources=graph.sources, sinks=graph.sinks, blocks=blocks)


def _binary(block: Block) -> Matrix:
    return block.mask.astype(np.float64)


def _equal(mean: float, block: Block) -> Matrix:
    return block.kept * mean if block.size else block.weights


def _mean(graph: ChannelGraph) -> float:
    """The conductance of one kept weight behind an edge, on average over the network; 0 where nothing is kept."""
    blocks = [block for block in graph.blocks if block.size]
    kept = sum(int(block.kept.sum()) for block in blocks)
    return float(sum(block.weights.sum() for block in blocks) / kept) if kept else 0.0


MEMBER = Placement
