"""Metric `fan-in-spread`: how unequally the kept weights of a layer are dealt out among its output channels.

    spread = standard deviation / mean of the kept weights of each output channel

0 where every channel keeps equally many; None where a layer keeps none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from n2nsurgery.connectivity.graph.channel_graph import Block
from n2nsurgery.connectivity.measures.measurement import Column, Measurement, Quantity
from n2nsurgery.connectivity.measures.subject import Subject


@dataclass(frozen=True, kw_only=True)
class FanInSpread:
    """The metric; it has no parameters."""

    needs_reference: ClassVar[bool] = False

    def measure(self, subject: Subject, reference: Subject) -> Measurement:  # noqa: ARG002 - the protocol's
        """The spread of each layer, and the largest of them."""
        spreads = {block.name: spread(block) for block in subject.graph.layers}
        known = [value for value in spreads.values() if value is not None]
        meaning = "Standard deviation over mean of the weights kept by an output channel"
        return Measurement(
            quantities={"largest": Quantity(value=max(known, default=None), unit="", meaning=f"{meaning}, at most")},
            columns={"spread": Column(values=spreads, unit="", meaning=meaning)},
        )


def spread(block: Block) -> float | None:
    """Standard deviation over mean of the kept weights per output channel; None where nothing is kept."""
    kept = np.asarray(block.kept.sum(axis=1), dtype=np.float64).ravel()
    return float(kept.std() / kept.mean()) if kept.any() else None
