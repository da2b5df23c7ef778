"""Whether a layer is trained sparse or dense: predicted from its sizes, or measured.

Predicted seconds of all three passes of one step, with M output elements and I input elements of each channel:

    dense          6 M weights / R_dense + weights W + 2 (in I + out M) / R_turn    products, weights, layout turned
    dense alone    the same with R_move in place of R_turn                          among dense neighbours
    sparse         6 M kept / R_sparse + (3 in I + 2 out M) / R_pack                one load a multiply-add, packing

A linear layer reads a batch of up to 256 samples where it lies, without packing.
A layer is sparse where that is faster than dense among sparse neighbours; and the whole network stays dense where the
sum over its layers is not below that of dense layers alone. The rates are those of one thread of an AVX-512 core,
fitted to the convolutions of CIFAR's VGG19 and of three small networks, two of them with shortcuts, and to a
perceptron. What counts are their quotients, which differ less between machines than the rates do. `measured` times
random numbers instead.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from n2nsurgery.sparse_training.functions.layout import is_laid_out, lay_out
from n2nsurgery.sparse_training.modules.dense_neighbours import turned

Engine = Literal["sparse", "dense"]

_DENSE_RATE = 140e9  # floating-point operations a second in torch's dense convolutions
_NARROW_RATE = 25e9  # with few input channels
_DEPTHWISE_RATE = 8e9  # with several groups of few channels
_LINEAR_RATE = 85e9
_FEW_CHANNELS = 8
_WEIGHT_SECONDS = 6e-9  # of a dense convolution's weight, which is brought into the order of its blocks
_SPARSE_RATE = 60e9
_PACK_RATE = 3e9  # elements a second
_TURN_RATE = 0.45e9  # elements a second into the other layout and through new memory
_MOVE_RATE = 0.6e9  # elements a second through new memory
_DENSE_CALLS = 0.1e-3  # seconds of what does not depend on sizes
_SPARSE_CALLS = 0.3e-3
_LINEAR_CALLS = 0.18e-3  # of a linear layer whose inputs are read where they lie
_ONE_BLOCK = 256  # elements of a channel up to which that is so
_MOST_DENSITY = 0.3  # without sizes: beyond this share of kept weights a layer stays dense
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """What a layer is computed with, and why; seconds of one step where they are known."""

    layer: str
    engine: Engine
    reason: str
    kept: int
    density: float
    seconds: Seconds | None = None

    @property
    def chosen_seconds(self) -> float:
        """Seconds of the chosen engine, 0 where they are not known."""
        if self.seconds is None:
            return 0.0
        return self.seconds.sparse if self.engine == "sparse" else self.seconds.dense


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the prediction needs of a layer: (out, in / groups, *kernel), and elements of one channel of each side."""

    weight: tuple[int, ...]
    kept: int
    groups: int
    input_elements: int
    output_elements: int


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Of one training step in a layer: dense among sparse neighbours, dense among dense ones, and sparse."""

    dense: float
    dense_alone: float
    sparse: float


def predicted(sizes: Sizes) -> Seconds:
    """What one training step takes in this layer."""
    weights = math.prod(sizes.weight)
    inputs = sizes.weight[1] * sizes.groups * sizes.input_elements
    outputs = sizes.weight[0] * sizes.output_elements
    products = _DENSE_CALLS + 6 * sizes.output_elements * weights / _dense_rate(sizes)
    packed = (3 * inputs + 2 * outputs) / _PACK_RATE
    sparse = 6 * sizes.output_elements * sizes.kept / _SPARSE_RATE
    if len(sizes.weight) == 2:  # noqa: PLR2004 - a matrix product takes either layout
        beside = _LINEAR_CALLS if sizes.output_elements <= _ONE_BLOCK else _SPARSE_CALLS + packed
        return Seconds(dense=products, dense_alone=products, sparse=sparse + beside)
    sparse += _SPARSE_CALLS + packed
    products += weights * _WEIGHT_SECONDS
    moved = 2 * (inputs + outputs)
    return Seconds(dense=products + moved / _TURN_RATE, dense_alone=products + moved / _MOVE_RATE, sparse=sparse)


def full_gradient_seconds(sizes: Sizes) -> float:
    """What the gradient of all entries of a sparse layer's weight takes, by the sparse kernels."""
    return 2 * sizes.output_elements * math.prod(sizes.weight) / _SPARSE_RATE


def _dense_rate(sizes: Sizes) -> float:
    if len(sizes.weight) == 2:  # noqa: PLR2004 - (out, in)
        return _LINEAR_RATE
    if sizes.weight[1] >= _FEW_CHANNELS:
        return _DENSE_RATE
    return _NARROW_RATE if sizes.groups == 1 else _DEPTHWISE_RATE


def by_density(density: float) -> tuple[Engine, str]:
    """The engine where no sizes are known."""
    if density <= _MOST_DENSITY:
        return "sparse", f"{density:.1%} of the weights are kept"
    return "dense", f"{density:.1%} of the weights are kept, more than {_MOST_DENSITY:.0%}"


def by_seconds(seconds: Seconds, how: str) -> tuple[Engine, str]:
    """The faster engine, and the figures as a reason."""
    reason = f"{how}: {1000 * seconds.dense:.2f} ms dense, {1000 * seconds.sparse:.2f} ms sparse"
    return ("sparse" if seconds.sparse < seconds.dense else "dense"), reason


def whole_network(choices: Sequence[LayerChoice]) -> tuple[LayerChoice, ...]:
    """The choices as they are, or all dense where the network is faster so: dense layers need no other layout then."""
    known = [choice.seconds for choice in choices if choice.seconds is not None]
    chosen = sum(choice.chosen_seconds for choice in choices)
    alone = sum(seconds.dense_alone for seconds in known)
    if len(known) < len(choices) or chosen < alone or not known:
        return tuple(choices)
    reason = f"the pruned layers take {1000 * alone:.2f} ms all dense, {1000 * chosen:.2f} ms with sparse ones"
    return tuple(
        replace(choice, engine="dense", reason=reason if choice.engine == "sparse" else choice.reason)
        for choice in choices
    )


def predicted_gain(choices: Sequence[LayerChoice]) -> float | None:
    """Time of all layers dense over that of the chosen engines, where seconds are known; None where none are."""
    chosen = sum(choice.chosen_seconds for choice in choices)
    return (
        sum(choice.seconds.dense_alone for choice in choices if choice.seconds is not None) / chosen if chosen else None
    )


def measured(dense: nn.Module, sparse: nn.Module, shape: Sequence[int]) -> Seconds:
    """CPU seconds of forward and backward passes, the best of a few rounds in turns, on random numbers.

    Inputs and gradients lie in the layout of the sparse layers around, which a dense layer turns into its own order;
    alone, it gets them in that order.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tuple(shape), generator=generator)
    laid_out = lay_out(x).requires_grad_()
    neighbour = turned(copy.deepcopy(dense)) if isinstance(dense, _ConvNd) else dense
    steps = (_step(neighbour, laid_out), _step(dense, x.requires_grad_()), _step(sparse, laid_out))
    best = [math.inf] * len(steps)
    for number in range(_ROUNDS + 1):
        for which, step in enumerate(steps):
            start = time.process_time()
            step()
            if number > 0:
                best[which] = min(best[which], time.process_time() - start)
    return Seconds(dense=best[0], dense_alone=min(best[:2]), sparse=best[2])


def _step(layer: nn.Module, source: Tensor) -> Callable[[], object]:
    parameters = [p for p in layer.parameters() if p.requires_grad]
    with torch.no_grad():
        gradient = torch.ones_like(layer(source))
    if is_laid_out(source):
        gradient = lay_out(gradient)

    def step() -> object:
        with torch.enable_grad():
            return torch.autograd.grad(layer(source), [source, *parameters], gradient, allow_unused=True)

    return step
