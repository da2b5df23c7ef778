"""Which layers compute with integers, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.core.errors import UsageError
from n2nsurgery.export.codec.coded import CodedWeight
from n2nsurgery.export.sparse.fusion_matches import FusionMatch
from n2nsurgery.export.sparse.weight_coding import WeightCoding

BLOCK = 4
"""Neighbouring inputs that one instruction multiplies."""

LEAST_FILL = 0.4
"""Share of kept weights in a layer's blocks below which the float kernel is about as fast; docs/benchmarks.md."""


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegerLayer:
    """A layer that computes with integers: one use of a coded weight, and what it reads and gives."""

    match: FusionMatch
    coding: WeightCoding

    @property
    def coded(self) -> CodedWeight:
        """Its weight; the scales are there."""
        assert self.coding.coded is not None
        return self.coding.coded

    @property
    def source(self) -> str:
        """Name of the value it reads."""
        source = self.match.nodes[0].inputs[0]
        assert source is not None
        return str(source.name)

    @property
    def product(self) -> str:
        """Name of what it would give without a residual and an activation."""
        add = self.match.add
        last = self.match.nodes[-1] if add is None else self.match.nodes[self.match.nodes.index(add) - 1]
        return str(last.outputs[0].name)

    @property
    def result(self) -> str:
        """Name of what it gives."""
        return str(self.match.nodes[-1].outputs[0].name)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors whose ranges it needs."""
        residual = () if self.match.residual is None else (str(self.match.residual.name), self.product)
        return (self.source, *residual, self.result)


def integer_layer(coding: WeightCoding) -> IntegerLayer | str:
    """The layer of a weight, or why it computes with floats."""
    if coding.coded is None or not coding.matches:
        return coding.record.reason
    if coding.coded.scales is None:
        return "its weight is not stored as int8"
    if len(coding.matches) > 1:
        return "its weight is used by several layers, whose inputs have levels of their own"
    fill = block_fill(coding.coded.decoded())
    if fill < LEAST_FILL:
        return f"its blocks of {BLOCK} inputs hold {fill:.0%} kept weights, below {LEAST_FILL:.0%}: prune in block1x4"
    match = coding.matches[0]
    return _obstacle(match) or IntegerLayer(match=match, coding=coding)


def with_integers(
    codings: Sequence[WeightCoding],
) -> tuple[tuple[WeightCoding, ...], tuple[IntegerLayer, ...]]:
    """The codings with records that say what they compute with, and the layers that compute with integers.

    Raises UsageError where there is none.
    """
    named, layers = [], []
    for coding in codings:
        found = integer_layer(coding)
        if isinstance(found, str):
            sparse = coding.record.computed == "sparse"
            reason = f"{coding.record.reason}; with floats: {found}" if sparse else coding.record.reason
            named.append(replace(coding, record=replace(coding.record, reason=reason)))
        else:
            named.append(replace(coding, record=replace(coding.record, arithmetic="integers")))
            layers.append(replace(found, coding=named[-1]))
    if not layers:
        first = next((c.record for c in named if c.record.computed == "sparse"), named[0].record) if named else None
        why = f"'{first.name}': {first.reason}" if first is not None else "there is no weight"
        raise UsageError(
            f"is for layers that compute with integers, and no layer can; {why}", field="calibration", joint=" "
        )
    return tuple(named), tuple(layers)


def block_fill(weight: NDArray[np.float32]) -> float:
    """The share of kept weights in the blocks of four inputs (axis 1) that hold any; 1 where none does."""
    kept = weight != 0
    pad = -kept.shape[1] % BLOCK
    padded = np.pad(kept, [(0, 0), (0, pad), *[(0, 0)] * (kept.ndim - 2)])
    blocks = padded.reshape(kept.shape[0], -1, BLOCK, *kept.shape[2:]).any(axis=2)
    return float(kept.sum() / (BLOCK * blocks.sum())) if blocks.any() else 1.0


def _obstacle(match: FusionMatch) -> str | None:
    if match.kind not in ("Conv", "Gemm"):
        return f"a {match.kind} has no integer kernel"
    activation = match.activation
    if activation is not None and not _cuts_off(match):
        return f"its activation is {activation.name}; integer kernels have only those that clamp (Relu, Clip)"
    if match.kind == "Gemm" and match.add is not None:
        return "a residual is added to its linear layer, which has no integer kernel"
    return None


def _cuts_off(match: FusionMatch) -> bool:
    """The activation is the clamping of levels: ReLU, or Clip around 0."""
    activation = match.activation
    assert activation is not None
    if activation.name == "Clip":
        return activation.settings["low"] <= 0 <= activation.settings["high"]
    return activation.name == "Relu"
