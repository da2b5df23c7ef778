"""Which parameter has the zeros of the weight that a layer multiplies with: the weight, or one that it is made of.

Weight normalization (Salimans and Kingma 2016) and spectral normalization (Miyato et al. 2018) keep zeros,

    w = g v / ||v||        w = W / sigma(W)

so that an entry of w is zero exactly where that of v or W is: a mask on the parameter is one on the weight that is
used. Other parametrizations mix entries. Layers that make another weight of theirs in forward are in `made_weight`.

Where v keeps nothing of a row, or W nothing at all, torch divides zero by zero. `keep_zeros` makes that zero.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm, _WeightNorm

from n2nsurgery.core.outputs import evaluation_mode
from n2nsurgery.graph.made_weight import keep_zeros_made, use_as_it_is, used_made

_LIST = "parametrizations.weight"


class RowsOrZero(_WeightNorm):
    """Weight normalization that leaves a row of zeros as it is."""

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """The normalized weight."""
        dims = [dim for dim in range(weight_v.dim()) if dim != self.dim]
        dead = (weight_v == 0).all(dim=dims, keepdim=True)
        used: Tensor = super().forward(weight_g, weight_v.masked_fill(dead, 1))  # type: ignore[no-untyped-call]
        return used.masked_fill(dead, 0)


class MatrixOrZero(_SpectralNorm):
    """Spectral normalization that leaves a weight of zeros as it is."""

    def forward(self, weight: Tensor) -> Tensor:
        """The normalized weight."""
        dead = (weight == 0).all()
        return super().forward(weight.masked_fill(dead, 1)).masked_fill(dead, 0)


_SAFE: dict[type, type] = {_WeightNorm: RowsOrZero, _SpectralNorm: MatrixOrZero}


def holder_of(layer: nn.Module) -> tuple[str, nn.Parameter] | None:
    """Name (below `layer`) and value of the parameter with the zeros of the layer's weight; None without one."""
    if not parametrize.is_parametrized(layer, "weight"):
        weight = dict(layer.named_parameters(recurse=False, remove_duplicate=False)).get("weight")
        return None if weight is None else ("weight", weight)
    made = layer.get_submodule(_LIST)
    if not all(isinstance(each, (_WeightNorm, _SpectralNorm)) for each in made.children()):
        return None
    name = "original1" if isinstance(made.get_submodule("0"), _WeightNorm) else "original"
    return f"{_LIST}.{name}", made.get_parameter(name)


def is_made_of_one(layer: nn.Module) -> bool:
    """Whether nothing but its weight is computed in `layer`, and that from one parameter with the same zeros."""
    children = dict(layer.named_children())
    only = children.keys() == {"parametrizations"} and set(children["parametrizations"]._modules) == {"weight"}  # noqa: SLF001
    return only and holder_of(layer) is not None


def keep_zeros(root: nn.Module) -> None:
    """Let every weight below `root` that is made of one parameter be zero where that keeps nothing; in place."""
    keep_zeros_made(root)
    for part in root.modules():
        if isinstance(part, parametrize.ParametrizationList):
            for each in part.children():
                each.__class__ = _SAFE.get(type(each), type(each))


def used_weight(root: nn.Module, name: str) -> Tensor | None:
    """The weight that is made of the parameter `name` of `root`, detached; None where nothing is made of it."""
    path, made, _ = f".{name}".rpartition(f".{_LIST}.")
    if not made:
        path, _, attribute = name.rpartition(".")
        return used_made(root.get_submodule(path)) if attribute == "weight" else None
    layer: Any = root.get_submodule(path[1:])
    with evaluation_mode(layer), torch.no_grad():  # an iteration towards sigma is one of training
        weight: Tensor = layer.weight
    return weight


@torch.no_grad()
def plain_weights(root: nn.Module) -> dict[str, str]:
    """Put the weights that layers below `root` compute in place of what they compute them from; in place.

    Returns the names of the parameters with the zeros of weights, with the names that those weights have now. `root` is
    in eval mode. Torch's own `remove_parametrizations` changes a class that copies share with their original.
    """
    names: dict[str, str] = {}
    for path, part in list(root.named_modules()):
        use_as_it_is(part)
        if not parametrize.is_parametrized(part):
            continue
        found = holder_of(part)
        if found is not None:
            names[f"{path}.{found[0]}".lstrip(".")] = f"{path}.weight".lstrip(".")
        made: Any = part.parametrizations
        values = {name: (getattr(part, name), next(each.parameters(), None) is not None) for name, each in made.items()}
        part.__class__ = parametrize.type_before_parametrizations(part)
        del part.parametrizations
        for name, (value, trained) in values.items():
            part.register_parameter(name, nn.Parameter(value)) if trained else part.register_buffer(name, value)
    return names
