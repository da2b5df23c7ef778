"""How each call of torch is recorded on a tape, by the operation's name.

A recorder returns False where this very call is not what the operation's name promises; it is then opaque.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn import functional as F

from n2nsurgery.graph.channels.from_torch import operations as known
from n2nsurgery.graph.channels.from_torch.call import CallTape, Recorder, TorchCall
from n2nsurgery.graph.channels.steps import Attention, MatMul, Move, Pointwise, Reduce

_MATRIX = 2
_GROUPS = 6
"""Position of `groups` among the arguments of every convolution."""


def _pointwise(tape: CallTape, call: TorchCall) -> bool:
    how = "sum" if call.name in known.SUMS else "product"
    scale = _scale(tape, call) if call.name == "batch_norm" else None
    distinct = tuple(dict.fromkeys(call.reads))
    return tape.add(Pointwise, call.name, distinct, call.results[:1], how=how, scale=scale)


def _scale(tape: CallTape, call: TorchCall) -> NDArray[np.float64] | None:
    """What a BatchNorm in eval mode multiplies each channel with, |gamma| / sqrt(variance + eps)."""
    training = call.argument(5, "training", default=False)
    if not known.is_python(call.function) or training:
        return None
    variance, gamma = call.argument(2, "running_var"), call.argument(3, "weight")
    spread = None if variance is None else tape.real(variance)
    factor = None if gamma is None else tape.real(gamma)
    if spread is None or (factor is None) != (gamma is None):
        return None
    with unset_fake_temporarily():
        factors = 1 / torch.sqrt(spread.detach().double() + float(call.argument(7, "eps", 1e-5)))
        factors = factors if factor is None else factors * factor.detach().double().abs()
        return np.asarray(factors.numpy())


def _move(tape: CallTape, call: TorchCall) -> bool:
    function = F.pad if call.name in {"pad", "constant_pad_nd"} else call.function

    def again(given: Any) -> Any:  # noqa: ANN401 - the arguments, whatever they are
        args, kwargs = given
        if call.name in known.OF_CONTIGUOUS:
            args = tuple(arg.contiguous() if isinstance(arg, Tensor) else arg for arg in args)
        if call.name == "constant_pad_nd":
            return function(*args[:2])
        if call.name == "pad":  # whatever is padded with, it comes from no channel
            return function(*args[:3], **{key: kwargs[key] for key in ("pad", "mode") if key in kwargs})
        return function(*args, **kwargs)

    return tape.add_move(call.name, (call.args, call.kwargs), call.results, again)


def _reduction(tape: CallTape, call: TorchCall) -> bool:
    if len(call.reads) > 1:  # the maximum of two tensors
        return _pointwise(tape, call)
    if not isinstance(call.args[0], Tensor):
        return False
    rank = call.args[0].dim()
    axes = known.reduced_axes(call.args, call.kwargs, rank)
    if call.name.endswith("norm") and "dim" not in call.kwargs:
        axes = known.reduced_axes((None, *call.args[2:]), {}, rank)
    keep = call.results[0].dim() == rank
    name = {"amax": "max", "amin": "min"}.get(call.name, call.name)
    return all(
        tape.add(Reduce, name, call.reads, [result], axes=axes, keepdims=keep)
        for result in call.results
        if result.is_floating_point()
    )


def _pool(tape: CallTape, call: TorchCall) -> bool:
    axes = known.pooled_axes(call.name, call.results[0].dim())
    return tape.add(Reduce, call.name, call.reads[:1], call.results[:1], axes=axes, keepdims=True)


def _convolution(tape: CallTape, call: TorchCall) -> bool:
    source, weight = call.argument(0, "input"), call.argument(1, "weight")
    layout = "conv_transpose" if call.name in known.TRANSPOSED else "conv"
    axis = 1 - weight.dim()
    groups = int(call.argument(_GROUPS, "groups", 1))
    return tape.add_layer(call.name, source, weight, call.results, layout=layout, groups=groups, axis=axis)


def _linear(tape: CallTape, call: TorchCall) -> bool:
    source, weight = call.argument(0, "input"), call.argument(1, "weight")
    return tape.add_layer(call.name, source, weight, call.results, layout="linear", groups=1, axis=-1)


def _product(tape: CallTape, call: TorchCall) -> bool:
    """A matrix product: of two values, of a value by a parameter, or of a parameter by a value."""
    if call.name in {"addmm", "baddbmm"}:
        if tape.known(call.args[0]) is not None:
            return False
        left, right = call.args[1:3]
    else:
        left, right = call.args[0], call.argument(1, "other", call.kwargs.get("mat2"))
    if tape.known(left) is not None and tape.known(right) is not None:
        fits = min(left.dim(), right.dim()) >= _MATRIX
        return fits and tape.add(MatMul, call.name, (call.reads[0], call.reads[-1]), call.results)
    if tape.known(right) is not None:  # it mixes the rows, and keeps what lies along the last axis
        fits = left.dim() == _MATRIX and right.dim() >= _MATRIX
        return fits and tape.add(Reduce, call.name, call.reads, call.results, axes=(-2,), keepdims=True)
    if right.dim() != _MATRIX:
        return False
    transposed = tape.transposed(right)
    return tape.add_layer(call.name, left, transposed, call.results, layout="linear", groups=1, axis=-1)


def _attention(tape: CallTape, call: TorchCall) -> bool:
    query, key, value = call.args[:3]
    if any(tape.known(tensor) is None for tensor in (query, key, value)):
        return False
    transposed = key.mT
    tape.add(Move, "transpose", tape.values(key), [transposed], apply=_swapped)
    return tape.add(Attention, "attention", tape.values(query, transposed, value), call.results[:1])


def _swapped(given: Any) -> list[Any]:  # noqa: ANN401 - one label array
    return [given[0].swapaxes(-1, -2)]


def _glu(tape: CallTape, call: TorchCall) -> bool:
    halves = list(call.args[0].chunk(2, dim=call.argument(1, "dim", -1)))
    axis = call.argument(1, "dim", -1)
    tape.add_move("chunk", call.args[0], halves, lambda given: given.chunk(2, dim=axis))
    return tape.add(Pointwise, "glu", tape.values(*halves), call.results)


def _embedding(tape: CallTape, call: TorchCall) -> bool:
    """Every entry of a table's row depends on the index."""
    shape = tuple(call.results[0].shape)
    return tape.add(
        Move, call.name, call.reads[:1], call.results, apply=lambda given: [np.broadcast_to(given[0][..., None], shape)]
    )


RECORDERS: dict[str, Recorder] = {
    **dict.fromkeys(known.SUMS | known.POINTWISE, _pointwise),
    **dict.fromkeys(known.MOVES, _move),
    **dict.fromkeys(known.REDUCTIONS, _reduction),
    **dict.fromkeys(known.POOLS, _pool),
    **dict.fromkeys(known.CONVOLUTIONS | known.TRANSPOSED, _convolution),
    **dict.fromkeys(known.PRODUCTS, _product),
    "linear": _linear,
    "scaled_dot_product_attention": _attention,
    "glu": _glu,
    "embedding": _embedding,
}
