"""Where the sparse kernel is faster than the dense one: a prediction from what a layer is, the same on every machine.

The densities up to which it pays were measured in ONNX Runtime on the CPU provider, layer by layer, with one thread
(AVX-512, layers of ResNet50 and of transformers at batch 1). The curves of time over density cross at 0.45 to 0.65 for
convolutions. For a linear layer with one row, which uses every weight once, they cross at 0.09 where the dense weight
has 8 MB (1000x2048) and nothing else runs, and at 0.25 where it has 134 MB (4096x8192). In a network whose dense
weights do not fit the cache the 8 MB come from memory each time, too: at 0.05, sparse takes a sixth of the dense time
there. The limits stay below the crossings, since a file must never be slower than the dense one. Every weight of a
layer is used equally often, so its weight density is its MAC density.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

CONVOLUTION = 0.40
BLOCKS = 0.60
"""Convolutions, and linear layers with many rows, in which four neighbouring outputs share their positions."""

LINEAR_MANY_ROWS = 0.50
LINEAR_IN_CACHE = 0.08
LINEAR_STREAMED = 0.15

MANY_ROWS = 16
"""Fewer rows were measured for one row only, and are treated like it."""

CACHED_BYTES = 32 * 2**20
"""Dense weights of a network up to this size in all may stay in a shared cache between inferences."""

_BLOCK = 4
_FLOAT_BYTES = 4
_LANES = 16  # of the widest vectors; narrower ones reach less far
_MOST_AXES = 3
_MOST_REACH = 65_535  # floats of one channel's packed rows, which the kernel addresses with 16 bits
_MOST_PHASES = 4096  # of a transposed convolution, and positions of the input that its kernel reaches over
_MOST_SPAN = 600  # columns between a kernel's first and last, for the narrowest vectors


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """What the time of a layer depends on.

    `shape`: (O, I/groups, *kernel) of a `Conv`, (I, O/groups, *kernel) of a `ConvTranspose`, (O, K) of a `Gemm`.
    `blocks` as `shares_positions` says. `strides`, `dilations` and `pads` (of the beginning), one for each spatial
    dimension, and `groups` are those of a convolution. `rows`: vectors of one sample that a `Gemm` multiplies.
    `beside`: bytes of the network's other weights when dense, which compete for the cache.
    """

    kind: str
    shape: tuple[int, ...]
    density: float
    blocks: bool = False
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    groups: int = 1
    rows: int = 1
    beside: int = 0


@dataclass(frozen=True, kw_only=True)
class KernelChoice:
    """Whether a layer is computed sparsely, and why; `measured`: how many times as fast as dense, where measured."""

    sparse: bool
    reason: str
    measured: float | None = None


def shares_positions(weight: NDArray[np.generic], groups: int = 1) -> bool:
    """Four neighbouring outputs (from a multiple of four on, within their group) share their positions everywhere."""
    outputs = weight.shape[0]
    if outputs // groups % _BLOCK:
        return False
    kept = (weight != 0).reshape(outputs // _BLOCK, _BLOCK, -1)
    return bool((kept == kept[:, :1]).all())


def obstacle(layer: LayerShape) -> str | None:
    """Why the layer is computed densely at any density; None where it is not."""
    if layer.kind == "Gemm":
        return None
    if not 1 <= len(layer.shape) - 2 <= _MOST_AXES:
        return f"its kernel has {len(layer.shape) - 2} spatial axes; the sparse one takes 1 to {_MOST_AXES}"
    if layer.kind == "ConvTranspose":
        phases, layer = prod(layer.strides), _of_phases(layer)
        if max(phases, prod(layer.shape[2:])) > _MOST_PHASES:
            return "its strides or its kernel reach further than the sparse one can address"
    if layer.shape[1] == 1 and layer.groups > 1:
        return "one input channel to each output (depthwise): the dense kernel is faster"
    if _reach(layer) > _MOST_REACH or _span(layer) > _MOST_SPAN:
        return "its kernel reaches further than the sparse one can address"
    return None


def predict(layer: LayerShape) -> KernelChoice:
    """The choice for a layer without measuring it."""
    if reason := obstacle(layer):
        return KernelChoice(sparse=False, reason=reason)
    limit, name = _limit(layer)
    if layer.density > limit:
        return KernelChoice(sparse=False, reason=f"density {layer.density:.3g} is above {limit:g}, the limit of {name}")
    return KernelChoice(sparse=True, reason=f"density {layer.density:.3g} is at most {limit:g}, the limit of {name}")


def measured_verdict(ratio: float) -> KernelChoice:
    """The choice for a layer whose sparse kernel was measured to be `ratio` times as fast as the dense one."""
    comparison = "times as fast as dense" if ratio > 1 else "times as fast as dense, so dense stays"
    return KernelChoice(
        sparse=ratio > 1, reason=f"measured: sparse is {ratio:.2f} {comparison}", measured=round(ratio, 3)
    )


def _limit(layer: LayerShape) -> tuple[float, str]:
    """Largest density that is computed sparsely, and the class of layers that it holds for."""
    if layer.kind == "Gemm" and layer.rows < MANY_ROWS:
        if prod(layer.shape) * _FLOAT_BYTES + layer.beside <= CACHED_BYTES:
            return LINEAR_IN_CACHE, "linear layers with few rows in a network that fits the cache"
        return LINEAR_STREAMED, "linear layers with few rows"
    if layer.blocks:
        return BLOCKS, "blocks of four outputs"
    if layer.kind == "Gemm":
        return LINEAR_MANY_ROWS, f"linear layers with {MANY_ROWS} rows or more"
    return CONVOLUTION, "convolutions"


def _of_phases(layer: LayerShape) -> LayerShape:
    """The convolution that the sparse kernel makes of a transposed one: an output for each phase of the strides."""
    inputs, outputs, *kernel = layer.shape
    each = zip(kernel, layer.strides, layer.dilations, layer.pads, strict=True)
    extents = (-(-pad // s) - -(-(pad - (k - 1) * d) // s) + 1 for k, s, d, pad in each)
    rank = len(kernel)
    return replace(
        layer, kind="Conv", shape=(outputs * layer.groups * prod(layer.strides), inputs // layer.groups, *extents),
        strides=(1,) * rank, dilations=(1,) * rank, pads=(0,) * rank,
    )  # fmt: skip


def _reach(layer: LayerShape) -> int:
    """Floats of one channel that the sparse kernel packs to compute one vector of outputs; 0 for a 1x1 kernel."""
    kernel = (1, 1, *layer.shape[2:])[-3:]  # depth, rows, columns
    if kernel[1:] == (1, 1):
        return 0
    planes = min(kernel[2], layer.strides[-1])
    pitch = ceil((_LANES + _span(layer)) / _LANES) * _LANES
    return kernel[0] * kernel[1] * planes * pitch


def _span(layer: LayerShape) -> int:
    """Output columns between what a kernel's first column reads and what its last does."""
    return ceil((layer.shape[-1] - 1) * layer.dilations[-1] / layer.strides[-1])
