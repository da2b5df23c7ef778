"""The inner activation g of Eq. 2: from its plain description to a module.

Only pointwise functions without parameters and without randomness are built. Everything else is refused with a
reason, never guessed: another g than the network's own would silently be another method.
"""

from __future__ import annotations

import torch
from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.layers.layer_graph import Nonlinearity

_POINTWISE: dict[str, type[nn.Module]] = {
    cls.__name__: cls
    for cls in (
        nn.CELU,
        nn.ELU,
        nn.GELU,
        nn.Hardshrink,
        nn.Hardsigmoid,
        nn.Hardswish,
        nn.Hardtanh,
        nn.LeakyReLU,
        nn.LogSigmoid,
        nn.Mish,
        nn.ReLU,
        nn.ReLU6,
        nn.SELU,
        nn.SiLU,
        nn.Sigmoid,
        nn.Softplus,
        nn.Softshrink,
        nn.Softsign,
        nn.Tanh,
        nn.Tanhshrink,
        nn.Threshold,
    )
}

_REFUSED = {
    "PReLU": "PReLU learns its slope, and the branch must not share or duplicate the target's parameter",
    "RReLU": "RReLU draws its slope at random in training, so g is not one function",
    "GLU": "GLU halves the channels and is not pointwise",
    "Softmax": "Softmax mixes channels and is not pointwise",
}


def rejection(nonlinearity: Nonlinearity) -> str | None:
    """Why this g cannot be built, or None where it can."""
    name = nonlinearity.name
    if name in _REFUSED:
        return _REFUSED[name]
    if name not in _POINTWISE:
        return f"'{name}' is not a known pointwise activation"
    try:
        _instantiate(nonlinearity)
    except TypeError as error:
        return f"torch.nn.{name} does not take the arguments {dict(nonlinearity.arguments)}: {error}"
    return None


def activation(nonlinearity: Nonlinearity) -> nn.Module:
    """The module of g, which never works in place; raises UsageError with the reason where g is refused."""
    reason = rejection(nonlinearity)
    if reason is not None:
        raise UsageError(f"no inner activation: {reason}")
    return _instantiate(nonlinearity)


def at_zero(nonlinearity: Nonlinearity) -> float:
    """g(0). Only where it is 0 does a skip with zero weights leave its target unchanged."""
    return float(activation(nonlinearity)(torch.zeros(1, dtype=torch.float64)))


def _instantiate(nonlinearity: Nonlinearity) -> nn.Module:
    arguments = {name: value for name, value in nonlinearity.arguments if name != "inplace"}
    return _POINTWISE[nonlinearity.name](**arguments)
