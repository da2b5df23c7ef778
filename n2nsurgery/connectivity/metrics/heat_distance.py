"""Metric `heat-distance`: F, how far a network's heat is from that of the reference.

    F(t) = |S_ref(t) - S(t)|_2,    0 <= F <= sqrt(2 n_in)                          (N2NSkip paper, Eq. 6)

The paper takes "large t" and states none. At t = inf F only compares components, and is 0 whenever both networks are
connected; at any finite t it depends on t like exp(-theta_1 t). So t is stated here: t* is the time at which the
reference's own heat has settled but for 1e-3 of it, |S_ref(t) - S_ref(inf)| = 1e-3 |S_ref(0) - S_ref(inf)|.

F at equal volume takes the heat of the pruned network at the time t* vol_ref / vol, as if its weights had been scaled
to the same sum: what is left is due to where the connections are, not to how many or how strong they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from n2nsurgery.connectivity.heat.laplacian import Vector
from n2nsurgery.connectivity.measures.measurement import SHARE, Curve, Measurement, Quantity, numbers
from n2nsurgery.connectivity.measures.self_checks import require_bounded
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class HeatDistance:
    """`residual` of the reference's heat that defines t*; the curve has `points` from t* / 1000 to 1000 t*."""

    residual: float = 1e-3
    points: int = 61

    needs_reference: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject) -> Measurement:
        """F at t*, 10 t* and infinity, on the giant component, at equal volume, relative to its bound; F(t / t*)."""
        require_comparable(subject, reference)
        sources = len(subject.graph.sources)
        star = reference.heat.saturation_time(self.residual)
        marks = np.array([star, 10 * star, inf])
        apart = reference.heat.at(marks) - subject.heat.at(marks)
        at_star, at_ten, at_inf = np.linalg.norm(apart, axis=1)
        giant = float(np.linalg.norm(apart[0, subject.parts.giant]))
        volume = subject.operator.volume
        stretched = np.array([star * reference.operator.volume / volume if volume else inf])
        equal_volume = np.linalg.norm(reference.heat.at(marks[:1]) - subject.heat.at(stretched))
        multiples = np.geomspace(1e-3, 1e3, self.points)
        curve = distances(subject, reference, multiples * star)
        require_bounded(np.array([at_star, at_ten, at_inf, *curve]), sources)
        named = {
            "t_star": (star, "1/conductance", "Time at which the reference's heat has settled but for 1e-3 of it"),
            "F": (at_star, "", "F: distance between the heat of both networks at t*"),
            "F_10": (at_ten, "", "F at 10 t*"),
            "F_inf": (at_inf, "", "F after any time: 0 unless a part is cut off"),
            "F_giant": (giant, "", "F at t* on the largest component of this network"),
            "F_equal_volume": (equal_volume, "", "F at t* if all weights were scaled to the reference's total"),
            "F_share": (
                at_star / (2 * sources) ** 0.5,
                SHARE,
                "F at t* as a share of the largest possible, sqrt(2 n_in)",
            ),
        }
        return Measurement(
            quantities={
                name: Quantity(value=float(value), unit=unit, meaning=meaning)
                for name, (value, unit, meaning) in named.items()
            },
            curves={
                "F": Curve(
                    x=tuple(multiples.tolist()),
                    x_unit="t*",
                    lines={"F": numbers(curve)},
                    meaning="Distance of the heat signatures over time",
                )
            },
        )


def distances(subject: Subject, reference: Subject, times: Vector) -> Vector:
    """F at the `times`, one after the other, so that large graphs need no (times x nodes) arrays."""
    return np.array([np.linalg.norm(reference.heat.at(t[None]) - subject.heat.at(t[None])) for t in times])


def require_comparable(subject: Subject, reference: Subject) -> None:
    """Raise UsageError where two networks do not have the same nodes and sources."""
    mine, theirs = subject.graph, reference.graph
    if mine.nodes != theirs.nodes or not np.array_equal(np.sort(mine.sources), np.sort(theirs.sources)):
        raise UsageError(
            f"the network has {mine.nodes:,} channels and {len(mine.sources)} inputs,"
            f" the reference {theirs.nodes:,} and {len(theirs.sources)};"
            " F compares channel by channel, so give the dense form of the same network"
        )


MEMBER = HeatDistance
