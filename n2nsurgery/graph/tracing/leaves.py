"""Which calls stay one node of the graph: the tracer's leaves.

A leaf hides what happens inside it. Containers of weighted layers are therefore never leaves on purpose, and
whatever changes with train and eval mode always is one: its flag must be read at run time, not baked in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torch import nn

from n2nsurgery.graph.used_weight import holder_of, is_made_of_one

WEIGHTED_MODULES = (nn.modules.conv._ConvNd, nn.Linear)  # noqa: SLF001 - the only name of the conv base class
CONTAINERS = (
    nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Transformer, nn.TransformerEncoder, nn.TransformerEncoderLayer,
    nn.TransformerDecoder, nn.TransformerDecoderLayer,
)  # fmt: skip
"""Modules of torch.nn that are looked into."""
NORM_MODULES = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)  # noqa: SLF001


def holds_weighted(module: nn.Module) -> bool:
    """Whether `module` is, or contains, a conv or linear layer, as torch or Transformers have them."""
    return any(isinstance(child, WEIGHTED_MODULES) or is_matrix_layer(child) for child in module.modules())


def is_matrix_layer(module: nn.Module) -> bool:
    """Whether `module` is x @ weight + bias with weight (in, out), as the `Conv1D` of Transformers."""
    kind = type(module)
    return (
        kind.__name__ == "Conv1D"
        and kind.__module__.startswith("transformers.")
        and isinstance(getattr(module, "weight", None), nn.Parameter)
    )


def computes_its_weight(module: nn.Module) -> bool:
    """Whether `module` is a conv or linear layer with a forward of its own, which may use another weight than its own.

    Whether it does is seen when it is evaluated.
    """
    if not isinstance(module, WEIGHTED_MODULES) or holder_of(module) is None:
        return False
    methods = (getattr(type(module), name, None) for name in ("forward", "_conv_forward"))
    return any(not method.__module__.startswith("torch.nn.") for method in methods if method is not None)


def is_norm(module: nn.Module) -> bool:
    """Whether `module` normalizes its input: a norm of torch.nn, or one by its name that has vector parameters only."""
    named = "Norm" in type(module).__name__ and all(parameter.dim() <= 1 for parameter in module.parameters())
    return (isinstance(module, NORM_MODULES) or named) and not holds_weighted(module)


def depends_on_mode(module: nn.Module) -> bool:
    """Whether the module's own forward reads `self.training` (dropout, stochastic depth, drop path, ...)."""
    code = getattr(getattr(type(module), "forward", None), "__code__", None)
    return code is not None and "training" in code.co_names and not holds_weighted(module)


def is_leaf(module: nn.Module) -> bool:
    """Whether a call of `module` stays one node."""
    if isinstance(module, CONTAINERS):
        return False
    if isinstance(module, WEIGHTED_MODULES):
        return next(module.children(), None) is None or is_made_of_one(module)
    if is_matrix_layer(module) or type(module).__module__ == "transformers.activations":
        return True
    return type(module).__module__.startswith("torch.nn.modules") or is_norm(module) or depends_on_mode(module)


def leaf_functions() -> tuple[Callable[..., Any], ...]:
    """Functions that stay one node: those of torchvision.ops, and timm's own list where timm is loaded."""
    functions: list[Callable[..., Any]] = []
    ops = sys.modules.get("torchvision.ops")
    if ops is not None:
        functions += [value for value in vars(ops).values() if callable(value) and not isinstance(value, type)]
    for name in ("timm.layers", "timm.models._features_fx"):  # the second before timm 1.0.17
        listed = getattr(sys.modules.get(name), "get_notrace_functions", None)
        if listed is not None:
            return (*functions, *listed())
    return tuple(functions)
