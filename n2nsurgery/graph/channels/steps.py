"""Program: what a network does to its tensors, step by step, as far as channels care.

Tensors are numbered values. A value is an input, is written by one step, or does not occur: constants and parameters
are not values, they carry no channel. Shapes hold some batch size, the same throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.graph.channels.labels import Labels, Shape
from n2nsurgery.graph.weight_layout import WeightLayout


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """Reads values and writes values, of the given `shapes`; `operation` names it for people."""

    operation: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerStep(Step):
    """A convolution or linear map by the parameter `weight`, of the shape and layout that PrunableWeight defines.

    `axis` is that of the channels, of what it reads and of what it writes.
    """

    weight: str
    weight_shape: Shape
    layout: WeightLayout
    groups: int
    axis: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Move(Step):
    """Moves entries without computing: `apply` does to label arrays what the operation does to data."""

    apply: Callable[[Sequence[Labels]], Sequence[Labels]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pointwise(Step):
    """Entry by entry, broadcast: a `sum`, or any other function (`product`); of one value it keeps every channel.

    Normalization and softmax count as pointwise: they rescale a channel, and carry no other channel's content.
    `scale`: the factors by which a BatchNorm in eval mode multiplies the channels, axis 1.
    """

    how: Literal["sum", "product"] = "product"
    scale: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduce(Step):
    """Mixes the entries along `axes` (mean, maximum, pooling, resizing); `keepdims` tells whether these stay."""

    axes: tuple[int, ...]
    keepdims: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class MatMul(Step):
    """The matrix product of two values over the last axes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention(Step):
    """softmax(Q K^T) V, reading Q (.., L, D), K^T (.., D, S) and V (.., S, D)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Opaque(Step):
    """Anything else: every entry may depend on every other."""


AnyStep: TypeAlias = LayerStep | Move | Pointwise | Reduce | MatMul | Attention | Opaque


@dataclass(frozen=True, kw_only=True)
class Input:
    """An input: its name, and whether it holds indices (tokens), which are one channel."""

    value: int
    name: str
    shape: Shape
    indices: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """Inputs, steps in an order in which they can run, the values that are returned, and what the front end noted."""

    inputs: tuple[Input, ...]
    steps: tuple[AnyStep, ...]
    outputs: tuple[int, ...]
    notes: tuple[str, ...] = ()
