"""Metric `path-share`: the share of all paths from the input to the output that runs through each layer.

A share is a sum over all paths through the layer's weights of 1, divided by that over all paths; see `path_shares`.
Every path crosses a layer of share 1, so that what this layer loses the network loses. Where skips or residual sums
lead around a layer its share is smaller, and a thin layer does less harm.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.connectivity.measures.measurement import SHARE, Column, Measurement, Quantity
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.paths.path_shares import path_shares


@dataclass(frozen=True, kw_only=True)
class PathShare:
    """No hyper-parameters."""

    needs_reference: ClassVar[bool] = False

    def measure(self, subject: Subject, reference: Subject) -> Measurement:  # noqa: ARG002 - the protocol's
        """The share of each layer; one that is called several times may be crossed as often by one path."""
        shares = Counter[str]()
        for block, share in zip(subject.graph.blocks, path_shares(subject.graph), strict=True):
            if block.size:
                shares[block.name] += share  # type: ignore[assignment] # a Counter adds floats, too
        crossed = sum(share > 1 - 1e-9 for share in shares.values())  # rounding of a sum of logarithms
        return Measurement(
            quantities={
                "crossed": Quantity(value=crossed, unit="layers", meaning="Layers that every path has to cross")
            },
            columns={
                "path_share": Column(
                    values=dict(shares), unit=SHARE, meaning="Share of all paths from input to output that cross it"
                )
            },
        )


MEMBER = PathShare
