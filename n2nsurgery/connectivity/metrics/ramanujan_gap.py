"""Metric `ramanujan-gap`: how well each layer's connections mix, against the best that their number allows.

    gap = sqrt(d_l - 1) + sqrt(d_r - 1) - sigma_2

with sigma_2 the second singular value of the layer's 0/1 matrix, d_l and d_r the mean degrees of its connected
channels. Not negative: as good as an optimal expander. (Hoang et al., Revisiting pruning at initialization through the
lens of Ramanujan graph, ICLR 2023.)

A layer with at most one connection for each channel cannot mix, wherever its connections are. It has no gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.connectivity.measures.measurement import Column, Measurement, Quantity
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.paths.ramanujan import expansion


@dataclass(frozen=True, kw_only=True)
class RamanujanGap:
    """No hyper-parameters."""

    needs_reference: ClassVar[bool] = False

    def measure(self, subject: Subject, reference: Subject) -> Measurement:  # noqa: ARG002 - the protocol's
        """Gap and second singular value of each layer, the smallest gap, and how many are negative."""
        found = {layer.name: expansion(layer) for layer in subject.graph.layers}
        gaps = {name: each.gap if each else None for name, each in found.items()}
        sigmas = {name: each.sigma_2 if each else None for name, each in found.items()}
        known = [gap for gap in gaps.values() if gap is not None]
        return Measurement(
            quantities={
                "smallest_gap": Quantity(
                    value=min(known, default=None), unit="", meaning="Smallest gap of mixing of a layer"
                ),
                "not_ramanujan": Quantity(
                    value=sum(gap < 0 for gap in known), unit="layers", meaning="Layers with a negative gap"
                ),
            },
            columns={
                "gap": Column(
                    values=gaps,
                    unit="",
                    meaning="Ramanujan gap; None for a layer with at most one connection for each channel",
                ),
                "sigma_2": Column(values=sigmas, unit="", meaning="Second singular value of the 0/1 matrix"),
            },
        )


MEMBER = RamanujanGap
