"""Dynamics `set`: in each weight the smallest entries are exchanged for random ones, after every epoch.

Drops the part `fraction` of the kept entries with the least magnitude and grows as many, drawn uniformly from the
places that were free before.
Source: Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity inspired
by network science" (Sparse Evolutionary Training), algorithm 1, with its fraction of 0.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.training.dynamics import RandomExchange


@dataclass(frozen=True, kw_only=True)
class SparseEvolution(RandomExchange):
    """The fields of `Exchange`."""


MEMBER = SparseEvolution
