"""Layers that hold the kept entries of their weight alone, and the two forms of a state that has such layers.

    kept form     the tensors that are trained: `values` with one element for each kept weight
    dense form    what a state_dict has: `weight` in its full shape, with zeros

Names are the same in both forms. A checkpoint has the dense form, so it can be read by any module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_WEIGHT, _VALUES = "weight", "values"


class KeptValues(nn.Module):
    """A layer whose `values`, (kept,), are the entries of a weight at its `places`; it has no other weight.

    In a state_dict it appears as the dense layer that it stands for: `weight` with zeros, and `bias`.
    """

    values: nn.Parameter
    bias: nn.Parameter | None
    kept_form: bool = False
    """Whether a state_dict shows `values` themselves under the name of the weight; see `kept_state`."""
    full_gradient: Tensor | None = None
    """(entries of the weight,), or None. Forward passes that see a tensor here add, when they are run backward, the
    gradient of all entries to it, also of those that are not kept."""

    @property
    def places(self) -> Tensor:
        """Indices of the kept entries in the flattened weight, int64, ascending: the order of `values`."""
        raise NotImplementedError

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weight that the values are kept of."""
        raise NotImplementedError

    def replace_places(self, places: Tensor, values: Tensor | None = None) -> None:
        """Keep the entries at `places` from now on: with their values where they were kept before, the others zero.

        `values`, (places,), says otherwise. `self.values` stays the same object; its gradient is dropped.
        """
        raise NotImplementedError

    def spread(self, kept: Tensor) -> Tensor:
        """`kept`, one element for each value, at its places in the weight's shape, zeros elsewhere; differentiable."""
        dense = kept.new_zeros(math.prod(self.weight_shape))
        return dense.scatter(0, self.places, kept).reshape(self.weight_shape)

    def gather(self, dense: Tensor) -> Tensor:
        """The entries of `dense`, in the weight's shape, at the places of the values."""
        return dense.flatten()[self.places]

    @property
    def weight(self) -> Tensor:
        """The dense weight, made anew: the values in their places, zeros elsewhere; differentiable."""
        return self.spread(self.values)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:  # noqa: FBT001
        weight = self.values if self.kept_form else self.weight
        destination[f"{prefix}{_WEIGHT}"] = weight if keep_vars else weight.detach()
        if self.bias is not None:
            destination[f"{prefix}bias"] = self.bias if keep_vars else self.bias.detach()

    def _load_from_state_dict(  # noqa: PLR0913, PLR0917 - torch's signature
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],  # noqa: ARG002
        strict: bool,  # noqa: ARG002, FBT001
        missing_keys: list[str],
        unexpected_keys: list[str],  # noqa: ARG002 - torch finds those itself, by the names below
        error_msgs: list[str],
    ) -> None:
        targets = {_WEIGHT: None, **({} if self.bias is None else {"bias": self.bias})}
        for name, target in targets.items():
            key = f"{prefix}{name}"
            if key not in state_dict:
                missing_keys.append(key)
                continue
            shape = self.weight_shape if target is None else tuple(target.shape)
            if tuple(state_dict[key].shape) != shape:
                error_msgs.append(f"size mismatch for {key}: {tuple(state_dict[key].shape)} instead of {shape}")
                continue
            with torch.no_grad():
                if target is None:
                    self.values.copy_(self.gather(state_dict[key]))
                else:
                    target.copy_(state_dict[key])


def kept_layers(module: nn.Module) -> dict[str, KeptValues]:
    """The layers of `module` that hold kept values alone, by the name of their weight in a state_dict."""
    named = module.named_modules(remove_duplicate=False)
    return {_joined(name, _WEIGHT): child for name, child in named if isinstance(child, KeptValues)}


def kept_state(module: nn.Module) -> dict[str, Any]:
    """The state_dict of `module` in its kept form; like it, it shares memory with what is trained."""
    layers = kept_layers(module).values()
    for layer in layers:
        layer.kept_form = True
    try:
        state: dict[str, Any] = module.state_dict()
    finally:
        for layer in layers:
            layer.kept_form = False
    return state


def dense_form(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state`, tensors by the names of `module`'s state_dict, with kept entries spread over their weights."""
    layers = kept_layers(module)
    return {name: layers[name].spread(value) if name in layers else value for name, value in state.items()}


def kept_form(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with the entries that `module` keeps in place of each weight of which it holds those alone."""
    layers = kept_layers(module)
    return {name: layers[name].gather(value) if name in layers else value for name, value in state.items()}


def parameter_names(module: nn.Module) -> dict[Tensor, str]:
    """The parameters of `module` with the names that a state_dict has for them; each once, by its first name."""
    values = {_joined(name.rpartition(".")[0], _VALUES): name for name in kept_layers(module)}
    return {parameter: values.get(name, name) for name, parameter in module.named_parameters()}


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
