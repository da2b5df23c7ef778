"""Layers that multiply with a weight which they make of their own one, as weight standardization does.

Qiao et al. 2019, "Micro-batch training with batch-channel normalization and weight standardization"; Brock et al. 2021,
"Characterizing signal propagation to close the performance gap in unnormalized ResNets":

    f(W) = gain (W - mean W) / std W          over the entries of each output channel

Where W is zero, f(W) is not. `keep_zeros_made` lets such a layer multiply with

    w = f(W)  where the mask keeps,   W (that is zero)  where it prunes

so that w has the zeros of the mask, at every moment of training. The mean and the variance are those of the whole
channel with its zeros, so a channel has the norm that it has unpruned. A layer that is kept whole computes what it did,
to the bit. To the gradient of a pruned entry, which masks drop and `rigl` looks at, w counts as if it were W.

What a layer multiplies with is seen by running its own forward on one small input, so f may be any function of the
layer's parameters alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from n2nsurgery.core.outputs import evaluation_mode

_PRODUCTS = frozenset([
    functional.conv1d, functional.conv2d, functional.conv3d, functional.conv_transpose1d, functional.conv_transpose2d,
    functional.conv_transpose3d, functional.linear,
])  # fmt: skip
_FORWARD = "forward"
_WEIGHT = "weight"


class _Exchanged(TorchFunctionMode):
    """While entered, products have `exchange(weight)` in place of their weight."""

    def __init__(self, exchange: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._exchange = exchange

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        if func not in _PRODUCTS:
            return func(*args, **kwargs)
        if len(args) > 1:
            return func(args[0], self._exchange(args[1]), *args[2:], **kwargs)
        return func(*args, **{**kwargs, _WEIGHT: self._exchange(kwargs[_WEIGHT])})


class PrunedEntries:
    """Which entries of a weight are pruned; without masks (None), those that are zero."""

    def __init__(self) -> None:
        self.pruned: Tensor | None = None

    def of(self, own: Tensor, made: Tensor) -> Tensor:
        """`made` of the weight `own`, with its pruned entries."""
        if self.pruned is not None and self.pruned.device != own.device:
            self.pruned = self.pruned.to(own.device)
        pruned = own == 0 if self.pruned is None else self.pruned
        return torch.where(pruned, own.to(made.dtype), made)


class OwnForward:
    """The forward of `layer` with another weight in its product; it stands in the layer's `__dict__`.

    `n2n_entries`: of what the layer makes of its weight; None where it multiplies with its weight as it is.
    """

    def __init__(self, layer: nn.Module, entries: PrunedEntries | None) -> None:
        self.layer = layer
        self.n2n_entries = entries

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the layer's own forward."""
        return inspect.signature(type(self.layer).forward.__get__(self.layer))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the layer takes
        """What the layer returns."""
        with _Exchanged(self._weight):
            return type(self.layer).forward(self.layer, *args, **kwargs)

    def _weight(self, made: Tensor) -> Tensor:
        own: Tensor = self.layer.weight  # type: ignore[assignment]
        return own if self.n2n_entries is None else self.n2n_entries.of(own, made)


def makes_its_weight(layer: nn.Module) -> bool:
    """Whether `layer` multiplies once, with a tensor in its weight's shape that depends on its parameters alone."""
    return _entries_of(layer) is not None or _made_weight(layer) is not None


def _entries_of(layer: nn.Module) -> PrunedEntries | None:
    forward = vars(layer).get(_FORWARD)
    return forward.n2n_entries if isinstance(forward, OwnForward) else None


def keep_zeros_made(root: nn.Module) -> None:
    """Let every such layer below `root` multiply with zeros where its weight has them; in place."""
    for layer in root.modules():
        if _made_weight(layer) is not None:
            layer.__dict__[_FORWARD] = OwnForward(layer, PrunedEntries())


def used_made(layer: nn.Module) -> Tensor | None:
    """What `layer` multiplies with, detached, where it makes that of its weight and keeps zeros; else None."""
    entries = _entries_of(layer)
    seen = None if entries is None else _seen_weight(layer, 0.0)
    if entries is None or seen is None:
        return None
    return entries.of(layer.get_parameter(_WEIGHT).detach(), seen)


@torch.no_grad()
def use_as_it_is(layer: nn.Module) -> None:
    """Put what `layer` multiplies with in place of its weight, with which it multiplies from then on; in place."""
    weight = used_made(layer)
    if weight is not None:
        layer.register_parameter(_WEIGHT, nn.Parameter(weight))
        layer.__dict__[_FORWARD] = OwnForward(layer, None)


def _made_weight(layer: nn.Module) -> Tensor | None:
    """What `layer`, as its class has it, makes of its weight; None for every other layer."""
    if not _may_make(layer):
        return None
    with torch.random.fork_rng(devices=[]):  # around both: what is drawn differs
        first, second = _seen_weight(layer, 0.0), _seen_weight(layer, 1.0)
    if first is None or second is None or first.shape != layer.weight.shape or not torch.equal(first, second):
        return None
    return first


def _may_make(layer: nn.Module) -> bool:
    """Whether `layer` is of a class with a forward of its own, and has no parameters but its weight and vectors."""
    if not isinstance(layer, (nn.modules.conv._ConvNd, nn.Linear)):  # noqa: SLF001 - its only name
        return False
    weight = layer._parameters.get(_WEIGHT)  # noqa: SLF001 - of a layer that computes it, asking runs that
    if weight is None:
        return False
    methods = (getattr(type(layer), name, None) for name in (_FORWARD, "_conv_forward"))
    own = any(not method.__module__.startswith("torch.nn.") for method in methods if method is not None)
    vectors = (each for name, each in layer.named_parameters() if name != _WEIGHT)
    alone = next(layer.children(), None) is None and _FORWARD not in layer.__dict__
    return own and alone and all(each.numel() <= max(weight.shape[:2]) for each in vectors)


def _seen_weight(layer: nn.Module, value: float) -> Tensor | None:
    """The weight of the one product in the forward of the class of `layer`, in eval mode, for an input of `value`.

    None where that is the layer's parameter itself, where there is no product or are several, and where it fails.
    """
    seen: list[Tensor] = []

    def look(weight: Tensor) -> Tensor:
        seen.append(weight)
        return weight

    buffers = [(buffer, buffer.clone()) for buffer in layer.buffers()]
    try:
        with evaluation_mode(layer), torch.no_grad(), _Exchanged(look):
            type(layer).forward(layer, _input_of(layer, value))
    except Exception:  # noqa: BLE001 - whatever the user's code raises
        return None
    finally:
        for buffer, before in buffers:
            buffer.copy_(before)
    return seen[0] if len(seen) == 1 and seen[0] is not layer.weight else None


def _input_of(layer: nn.Module, value: float) -> Tensor:
    """The smallest input that a layer takes: one sample with one output position."""
    known: Any = layer
    if isinstance(layer, nn.Linear):
        sizes = (known.in_features,)
    else:
        spans = zip(known.dilation, known.kernel_size, strict=True)
        sizes = (known.in_channels, *(dilation * (size - 1) + 1 for dilation, size in spans))
    return layer.get_parameter(_WEIGHT).new_full((1, *sizes), value)
