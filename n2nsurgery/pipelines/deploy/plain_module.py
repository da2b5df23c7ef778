"""A network that is not an artifact of ours: a module with zeros, pruned by whatever tool."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.model_inputs import bind_inputs
from n2nsurgery.graph.used_weight import plain_weights

_MATRIX = 2
_remove: Callable[[nn.Module, str], object] = prune.remove  # torch types it not


def prepared(module: nn.Module) -> nn.Module:
    """A copy of `module` in eval mode on the CPU, with plain parameters.

    Masks of torch.nn.utils.prune and other parametrizations are multiplied into them.
    """
    computed = [value for part in module.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    copies = {
        id(value): value.detach().clone() for value in computed
    }  # deepcopy takes none that has a gradient's graph
    plain = copy.deepcopy(module, copies).cpu().eval()
    for part in plain.modules():
        for name in [name.removesuffix("_orig") for name, _ in part.named_parameters(recurse=False)]:
            if hasattr(part, f"{name}_mask"):
                _remove(part, name)
    plain_weights(plain)
    return plain


def zero_masks(module: nn.Module) -> dict[str, Tensor]:
    """Masks (False = zero) of the parameters of two or more dimensions that hold zeros."""
    weights = {name: value for name, value in module.named_parameters() if value.dim() >= _MATRIX}
    return {name: value != 0 for name, value in weights.items() if bool((value == 0).any())}


def set_small_to_zero(module: nn.Module, threshold: float) -> None:
    """Set entries of weights of two or more dimensions with an absolute value below `threshold` to zero, in place."""
    with torch.no_grad():
        for value in module.parameters():
            if value.dim() >= _MATRIX:
                value[value.abs() < threshold] = 0


def inputs_for(module: nn.Module, example_inputs: Any) -> dict[str, Tensor]:  # noqa: ANN401 - any input that a module takes
    """The example inputs by the name of forward's argument; UsageError where there are none or one is no tensor."""
    if example_inputs is None:
        raise UsageError(f"{type(module).__name__} was given as an object: pass example_inputs to export it with")
    given = (example_inputs,) if isinstance(example_inputs, Tensor) else example_inputs
    inputs = bind_inputs(module, given)
    for name, value in inputs.items():
        if not isinstance(value, Tensor):
            raise UsageError(f"example input '{name}' is a {type(value).__name__}; ONNX takes tensors")
    return inputs
