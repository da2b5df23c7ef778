"""Metric `saturation`: how long heat takes to settle, and the two rates behind it.

t_sat is the time at which |S(t) - S(inf)| = residual |S(0) - S(inf)|; the N2NSkip paper, section 3.2, speaks of a
saturated heat distribution and states no residual. theta_1 is the smallest eigenvalue of L that the sources excite:
the last heat settles like exp(-theta_1 t). lambda_2 is the smallest positive eigenvalue there is, on
the giant component its algebraic connectivity (Fiedler, Czech. Math. J. 23, 1973). They differ where the slowest part
of the network holds no heat of the sources' to settle; lambda_2 <= theta_1 on a connected graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.connectivity.measures.measurement import Measurement, Quantity, finite
from n2nsurgery.connectivity.measures.subject import Subject

TIME, RATE = "1/conductance", "conductance"


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """`residual`: the share of the heat that is still to settle at t_sat, in (0, 1)."""

    residual: float = 1e-3

    needs_reference: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject) -> Measurement:
        """t_sat of this network, of the reference and their ratio; theta_1 and lambda_2 of both."""
        mine, theirs = (each.heat.saturation_time(self.residual) for each in (subject, reference))
        named = {
            "t_sat": (mine, TIME, f"Time until heat has settled but for {self.residual:g} of it"),
            "t_sat_reference": (theirs, TIME, "The same of the reference"),
            "t_sat_ratio": (
                mine / theirs if theirs else float("inf"),
                "",
                "Times as long as the reference it takes",
            ),
            "theta_1": (subject.heat.theta_1, RATE, "Slowest rate at which heat of the input settles"),
            "theta_1_reference": (reference.heat.theta_1, RATE, "The same of the reference"),
            "lambda_2": (subject.slow.lambda_2, RATE, "Algebraic connectivity of the largest component"),
            "lambda_2_residual": (subject.slow.residual, "", "|L x - lambda_2 x| / lambda_2 of what was found"),
            "volume": (subject.operator.volume, RATE, "Sum of all conductances, each at both of its ends"),
            "volume_reference": (reference.operator.volume, RATE, "The same of the reference"),
            "lambda_2_reference": (reference.slow.lambda_2, RATE, "Algebraic connectivity of the reference"),
        }
        return Measurement(
            quantities={
                name: Quantity(value=finite(value), unit=unit, meaning=meaning)
                for name, (value, unit, meaning) in named.items()
            }
        )


MEMBER = Saturation
