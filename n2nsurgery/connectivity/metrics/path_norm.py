"""Metric `path-norm`: log10 of the L1 path norm, how much all paths from the input to the output carry together.

    R = 1' |W_L| ... |W_2| |W_1| 1 = sum over paths of the product of their conductances

SynFlow's objective (Tanaka et al., Pruning neural networks without any data, NeurIPS 2020), rescaled after
every layer so that nothing over- or underflows. Normalization layers are not part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.connectivity.measures.measurement import Measurement, Quantity, finite
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.paths.paths import log10_path_norm


@dataclass(frozen=True, kw_only=True)
class PathNorm:
    """No hyper-parameters."""

    needs_reference: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject) -> Measurement:
        """The logarithm for this network and for the reference; None where nothing gets through."""
        meaning = "Logarithm of the sum over all paths of the product of their conductances"
        return Measurement(
            quantities={
                "path_norm": Quantity(value=finite(log10_path_norm(subject.graph)), unit="log10", meaning=meaning),
                "path_norm_reference": Quantity(
                    value=finite(log10_path_norm(reference.graph)), unit="log10", meaning=f"{meaning}, reference"
                ),
            }
        )


MEMBER = PathNorm
