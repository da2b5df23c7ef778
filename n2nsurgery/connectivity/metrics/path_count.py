"""Metric `path-count`: log10 of the number of paths from the input to the output.

A sum over all paths of 1, each through single weights, in one sweep of matrix-vector products that is rescaled after
every layer (a dense ResNet50 has 1e141 paths). What pruning at density d leaves of P paths through l layers is about
d^l P when it falls at random: the longer the network, the faster paths die, and the more a skip is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from n2nsurgery.connectivity.measures.measurement import Measurement, Quantity, finite
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.paths.paths import log10_paths


@dataclass(frozen=True, kw_only=True)
class PathCount:
    """No hyper-parameters."""

    needs_reference: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject) -> Measurement:
        """The logarithm for this network and for the reference; None where no path is left."""
        meaning = "Number of paths from input to output"
        mine, theirs = (log10_paths(each.graph) for each in (subject, reference))
        return Measurement(
            quantities={
                "paths": Quantity(value=finite(mine), unit="log10", meaning=meaning),
                "paths_reference": Quantity(value=finite(theirs), unit="log10", meaning=f"{meaning} of the reference"),
                "paths_lost": Quantity(
                    value=finite(theirs - mine) if isfinite(theirs) else 0.0,
                    unit="log10",
                    meaning="Paths of the reference for each that is left",
                ),
            }
        )


MEMBER = PathCount
