"""Whether a layer is trained sparse or dense: predicted from its sizes, or measured.

Predicted seconds of all three passes of one step, with N * places = M output elements for each channel:

    dense   6 M weights / R_dense + 2 (in + out) M / R_turn    products, and the layout of its neighbours
    sparse  6 M kept / R_sparse + (3 in + 2 out) M / R_pack      one load a multiply-add, and packing of activations

The rates are those of one thread of an AVX-512 core; what counts are their quotients, which differ less between
machines than the rates do. `measured` times both on random numbers instead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Engine = Literal["sparse", "dense"]

_DENSE_RATE = 100e9  # floating-point operations a second in torch's dense layers
_NARROW_RATE = 40e9  # with few input channels
_DEPTHWISE_RATE = 8e9  # with several groups of few channels
_FEW_CHANNELS = 8
_SPARSE_RATE = 55e9
_PACK_RATE = 1.2e9  # elements a second
_TURN_RATE = 2.5e9  # elements a second into the other layout
_LINEAR_RATE = 40e9  # dense layers of few rows read each weight once
_MOST_DENSITY = 0.3  # without sizes: beyond this share of kept weights a layer stays dense
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """What a layer is computed with, and why; seconds of one step's three passes where they are known."""

    layer: str
    engine: Engine
    reason: str
    kept: int
    density: float
    dense_seconds: float | None = None
    sparse_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the prediction needs of a layer: (out, in / groups, *kernel), and elements of one channel of each side."""

    weight: tuple[int, ...]
    kept: int
    groups: int
    input_elements: int
    output_elements: int


def predicted(sizes: Sizes) -> tuple[float, float]:
    """Seconds of one training step in this layer: dense, sparse."""
    weights = math.prod(sizes.weight)
    rate = _DENSE_RATE if len(sizes.weight) > 2 else _LINEAR_RATE  # noqa: PLR2004
    if sizes.weight[1] < _FEW_CHANNELS:
        rate = _NARROW_RATE if sizes.groups == 1 else _DEPTHWISE_RATE
    inputs = sizes.weight[1] * sizes.groups * sizes.input_elements
    outputs = sizes.weight[0] * sizes.output_elements
    turned = inputs + outputs if len(sizes.weight) > 2 else 0  # noqa: PLR2004 - a matrix product takes either layout
    dense = 6 * sizes.output_elements * weights / rate + 2 * turned / _TURN_RATE
    packed = 3 * inputs + 2 * outputs
    sparse = 6 * sizes.output_elements * sizes.kept / _SPARSE_RATE + packed / _PACK_RATE
    return dense, sparse


def by_density(density: float) -> tuple[Engine, str]:
    """The engine where no sizes are known."""
    if density <= _MOST_DENSITY:
        return "sparse", f"{density:.1%} of the weights are kept"
    return "dense", f"{density:.1%} of the weights are kept, more than {_MOST_DENSITY:.0%}"


def by_seconds(dense: float, sparse: float, how: str) -> tuple[Engine, str]:
    """The faster engine, and the figures as a reason."""
    reason = f"{how}: {1000 * dense:.2f} ms dense, {1000 * sparse:.2f} ms sparse"
    return ("sparse" if sparse < dense else "dense"), reason


def predicted_gain(choices: Sequence[LayerChoice]) -> float | None:
    """Dense time over the chosen engines' time of all layers whose seconds are known; None where those of none are."""
    known = [(c.dense_seconds, c.sparse_seconds, c.engine) for c in choices if c.dense_seconds and c.sparse_seconds]
    if not known:
        return None
    chosen = sum(sparse if engine == "sparse" else dense for dense, sparse, engine in known)
    return sum(dense for dense, _, _ in known) / chosen


def measured(dense: nn.Module, sparse: nn.Module, shape: Sequence[int]) -> tuple[float, float]:
    """CPU seconds of forward and backward pass of both, the best of a few rounds in turns, on random numbers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tuple(shape), generator=generator)
    laid_out = x.movedim(0, -1).contiguous().movedim(-1, 0)
    steps = (_step(dense, x), _step(sparse, laid_out))
    best = [math.inf, math.inf]
    for number in range(_ROUNDS + 1):
        for which, step in enumerate(steps):
            start = time.process_time()
            step()
            if number > 0:
                best[which] = min(best[which], time.process_time() - start)
    return best[0], best[1]


def _step(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    parameters = [p for p in layer.parameters() if p.requires_grad]
    source = x.detach().requires_grad_()

    def step() -> object:
        with torch.enable_grad():
            out: Tensor = layer(source)
            return torch.autograd.grad(out, [source, *parameters], torch.ones_like(out), allow_unused=True)

    return step
