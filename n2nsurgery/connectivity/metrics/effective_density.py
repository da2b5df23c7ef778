"""Metric `effective-density`: the share of weights that are kept and lie on a path from the input to the output.

    direct = sum_l kept_l / sum_l size_l
    effective = sum_l sum_ij kept_l[i, j] [j reachable from a source] [i reaches a sink] / sum_l size_l

(Vysogorets and Kempe, Connectivity matters, JMLR 24, 2023.) The difference is weights that cost memory
and change nothing. A layer that is called several times counts once for each call. Grafted skips count with what they
keep, and not with what they could hold: sum_l size_l is over the network's own layers, whose density was asked for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from n2nsurgery.connectivity.measures.measurement import SHARE, Column, Measurement, Quantity
from n2nsurgery.connectivity.measures.subject import Subject

DIRECT = "Share of the weights that are kept"
EFFECTIVE = "Share of the weights that are kept and lie on a path from input to output"


@dataclass(frozen=True, kw_only=True)
class EffectiveDensity:
    """No hyper-parameters."""

    needs_reference: ClassVar[bool] = False

    def measure(self, subject: Subject, reference: Subject) -> Measurement:  # noqa: ARG002 - the protocol's
        """Direct and effective density, of the network and of each layer."""
        sizes, kept, effective = Counter[str](), Counter[str](), Counter[str]()
        for layer in subject.graph.layers:
            sizes[layer.name] += layer.size
            kept[layer.name] += layer.kept_weights
            effective[layer.name] += subject.reach.effective_weights(layer)
        wasted, own = kept.total() - effective.total(), sum(sizes[n] for n in sizes if n not in subject.skips)
        total = max(own, 1)
        return Measurement(
            quantities={
                "direct": Quantity(value=kept.total() / total, unit=SHARE, meaning=DIRECT),
                "effective": Quantity(value=effective.total() / total, unit=SHARE, meaning=EFFECTIVE),
                "wasted": Quantity(value=wasted, unit="weights", meaning="Kept weights on no path"),
            },
            columns={
                "direct": Column(values={n: kept[n] / sizes[n] for n in sizes}, unit=SHARE, meaning=DIRECT),
                "effective": Column(values={n: effective[n] / sizes[n] for n in sizes}, unit=SHARE, meaning=EFFECTIVE),
            },
        )


MEMBER = EffectiveDensity
