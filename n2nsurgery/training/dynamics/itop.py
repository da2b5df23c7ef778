"""Dynamics `itop`: as `set`, with many exchanges up to the end, so that training tries most of the weights in turn.

The fraction falls from 0.5 to 0 in half a cosine. The source exchanges every 1,500 of its 97,750 steps, 65 times; every
250 steps is as often in 40 epochs of CIFAR-10.
Source: Liu et al. 2021, "Do we actually need dense over-parameterization? In-time over-parameterization in sparse
training", SET-ITOP with the values of its published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from n2nsurgery.training.dynamics import RandomExchange


@dataclass(frozen=True, kw_only=True)
class InTimeOverParameterization(RandomExchange):
    """The fields of `Exchange`."""

    fraction: float = 0.5
    every: int | None = 250
    decay: Literal["constant", "cosine"] = "cosine"


MEMBER = InTimeOverParameterization
