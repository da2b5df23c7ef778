"""The inner activation g of Eq. 2: from its plain description to a module.

Pointwise functions without randomness are built. Everything else is refused with a reason, never guessed: another g
than the network's own would silently be another method. Two kinds of g need a word of their own:

- g(0) != 0 (Sigmoid, Softplus): the branch is g(y) - g(0), so that a skip without weights adds nothing.
- PReLU: the branch learns slopes of its own, as many as the target has, from torch's 0.25 on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.layers.layer_graph import Nonlinearity


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the approximation of GELU that CLIP uses (Hendrycks and Gimpel 2016, section 2)."""

    def forward(self, x: Tensor) -> Tensor:
        """A tensor of the shape and dtype of `x`."""
        return x * torch.sigmoid(1.702 * x)


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
        nn.PReLU,
        QuickGELU,
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


class Shifted(nn.Module):
    """g(y) - g(0) for a pointwise g: zero at zero."""

    def __init__(self, g: nn.Module) -> None:
        super().__init__()
        self.g = g

    def forward(self, y: Tensor) -> Tensor:
        """A tensor of the shape and dtype of `y`."""
        shifted: Tensor = self.g(y) - self.g(y.new_zeros(()))  # g(0) as this dtype and device round it
        return shifted


def branch_activation(nonlinearity: Nonlinearity) -> nn.Module:
    """The module of y -> g(y) - g(0), which is g itself where g(0) = 0; raises UsageError where g is refused."""
    g = activation(nonlinearity)
    if isinstance(g, nn.PReLU) or g(torch.zeros(1, dtype=torch.float64)).item() == 0:
        return g
    return Shifted(g)


def _instantiate(nonlinearity: Nonlinearity) -> nn.Module:
    arguments = {name: value for name, value in nonlinearity.arguments if name != "inplace"}
    own = {"device": "cpu", "dtype": torch.float32} if nonlinearity.name == "PReLU" else {}
    return _POINTWISE[nonlinearity.name](**arguments, **own)
