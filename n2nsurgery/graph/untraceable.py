"""Models that no tracing can follow, told before anything is tried: each is refused with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from n2nsurgery.core.errors import TraceError
from n2nsurgery.core.names import listed


def require_traceable(model: nn.Module) -> None:
    """Return where `model` has weights and can be copied.

    Raises TraceError for what torch.jit made of modules with weights, layers without weights yet, weights on the meta
    device, and modules that keep a tensor which was computed from others.
    """
    kind = type(model).__name__
    for path, part in model.named_modules():
        if isinstance(part, torch.jit.ScriptModule) and (not path or next(part.parameters(), None) is not None):
            name = getattr(part, "original_name", type(part).__name__) + (f" '{path}'" if path else "")
            raise TraceError(
                f"{name} was made by torch.jit, which hides its forward: give the nn.Module it was made from"
            )
    tensors = [*model.named_parameters(), *model.named_buffers()]
    if lazy := [name for name, tensor in tensors if is_lazy(tensor)]:
        raise TraceError(f"{kind} has no values yet for {listed(lazy)} (lazy): call it once with an example first")
    if meta := [name for name, tensor in tensors if tensor.is_meta]:
        raise TraceError(
            f"{kind} has no values for {listed(meta)} (device meta): load its weights, or call .to_empty(device='cpu')"
            " and initialize it"
        )
    if computed := list(_computed(model)):
        raise TraceError(
            f"{kind} keeps tensors that were computed from others, so it cannot be copied: {listed(computed)}. Those of"
            " torch.nn.utils.weight_norm are removed by remove_weight_norm (or take"
            " torch.nn.utils.parametrizations.weight_norm), those of torch.nn.utils.prune by prune.remove; set what"
            " your forward has kept to None"
        )


def _computed(model: nn.Module) -> Iterator[str]:
    """The attributes with a tensor that has a history."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                yield f"{path}.{name}".lstrip(".")
