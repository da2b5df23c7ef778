"""Metric `dead-channels`: channels that lie on no path from the input to the output, layer by layer.

dead = not (reachable from a source and reaching a sink), following the edges' direction; one sweep each way. Heat is
undirected and does not see them: a network can be one component with F(inf) = 0 and have hundreds. (Vysogorets and
Kempe, JMLR 24, 2023.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from n2nsurgery.connectivity.measures.measurement import SHARE, Column, Measurement, Quantity
from n2nsurgery.connectivity.measures.subject import Subject


@dataclass(frozen=True, kw_only=True)
class DeadChannels:
    """No hyper-parameters."""

    needs_reference: ClassVar[bool] = False

    def measure(self, subject: Subject, reference: Subject) -> Measurement:  # noqa: ARG002 - the protocol's
        """How many channels are dead in all, and of each layer."""
        dead = ~subject.reach.alive
        by_layer = {group.name: int(dead[group.start : group.stop].sum()) for group in subject.graph.groups}
        sizes = {group.name: group.stop - group.start for group in subject.graph.groups}
        total = int(np.count_nonzero(dead))
        unreached = int(np.count_nonzero(dead[subject.graph.sinks]))
        unread = int(np.count_nonzero(dead[subject.graph.sources]))
        return Measurement(
            quantities={
                "dead": Quantity(value=total, unit="channels", meaning="Channels on no path from input to output"),
                "dead_share": Quantity(value=total / dead.size, unit=SHARE, meaning="Their share of all channels"),
                "dead_outputs": Quantity(value=unreached, unit="channels", meaning="Outputs that no input reaches"),
                "dead_inputs": Quantity(value=unread, unit="channels", meaning="Inputs that reach no output"),
            },
            columns={
                "dead": Column(values=by_layer, unit="channels", meaning="Channels on no path from input to output"),
                "channels": Column(values=sizes, unit="channels", meaning="Output channels of the layer"),
            },
        )


MEMBER = DeadChannels
