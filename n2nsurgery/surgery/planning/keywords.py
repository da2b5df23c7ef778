"""The keyword arguments of surgery for editors and type checkers: the fields of SurgeryConfig as a TypedDict.

A test compares the two; the criterion stands beside them. Python takes an object wherever a registered member is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from n2nsurgery.core.config.members import Scalar
from n2nsurgery.graph.layers.pair_selection import Placement, Policy
from n2nsurgery.skips.spec import Pooling


class PairOptions(TypedDict, total=False):
    """The fields of SurgeryConfig that say which pairs of layers get a skip."""

    skip_length: int | Literal["auto"]
    pairs: Policy
    num_pairs: int | None
    skip_placement: Placement
    include: Sequence[str]
    exclude: Sequence[str]
    include_classifier: bool


class SurgeryOptions(PairOptions, total=False):
    """Every field of SurgeryConfig but its criterion; lists may be any sequence."""

    density: float | None
    sparsity: float | None
    compression: float | None
    macs: float | None
    fan_out: Mapping[str, int]
    junction_density: Mapping[str, float]
    ignore: Sequence[str]
    floor_layer: int
    floor_channel: int
    keep_alive: bool
    redistribute: bool
    criterion_options: Mapping[str, Scalar]
    allocation: str | object | None
    allocation_options: Mapping[str, Scalar]
    granularity: str | object | None
    granularity_options: Mapping[str, Scalar]
    scope: Literal["global", "layer"] | None
    start: Literal["dense", "fan-in", "orthogonal"]
    skip: str | object
    skip_options: Mapping[str, Scalar]
    skip_ratio: float | Literal["auto"]
    skip_pattern: Literal["one-to-one", "random"]
    skip_kernel: Literal["auto", "1", "target"]
    skip_allocation: str | object
    skip_allocation_options: Mapping[str, Scalar]
    skip_norm: Literal["auto", "always", "never"]
    engine: Literal["auto", "hooks", "rewrite"]
    pooling: Pooling
    num_candidates: int
    select_by: Literal["scatter"] | None
    draw: int
    batches: int
    batch_size: int
    seed: int
