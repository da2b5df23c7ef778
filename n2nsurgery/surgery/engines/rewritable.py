"""What a rewritten copy, a graph of data flow, cannot hold of a model; found before one is made."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from n2nsurgery.core.errors import TraceError
from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.surgery.engines.gate import require_same
from n2nsurgery.surgery.engines.observation import written_attributes

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def require_rewritable(model: nn.Module, traced: TracedModule, inputs: Mapping[str, Any]) -> None:
    """Return where `traced` can stand for `model`; raises TraceError with the first obstacle.

    Obstacles are hooks of the modules whose code is rewritten, an overridden `train` or `eval` of the model, further
    keyword arguments, attributes that forward writes, and whatever makes outputs, buffers or gradients differ:
    autograd functions, regions without gradients or with another precision, branches on the batch.
    """
    obstacle = next(_obstacles(model, traced, inputs), None)
    if obstacle is not None:
        raise TraceError(
            f"{type(model).__name__} cannot be rewritten as a graph: {obstacle}. Take the engine 'hooks', or 'auto'"
        )
    require_same(model, traced, inputs)


def _obstacles(model: nn.Module, traced: TracedModule, inputs: Mapping[str, Any]) -> Iterator[str]:
    called = {node.target for graph in traced.n2n_graphs for node in graph.nodes if node.op == "call_module"}
    followed = [
        (path, child) for path, child in model.named_modules() if path not in called and _has_called(path, called)
    ]
    for path, child in followed:
        if any(getattr(child, hooks) for hooks in _HOOKS):
            yield f"{_named(path)} has hooks, which its graph would not call"
    for method in ("train", "eval"):
        if getattr(type(model), method) is not getattr(nn.Module, method):
            yield f"its class overrides '{method}'"
    signature = inspect.signature(model.forward)
    extra = [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD and inputs.get(p.name)]
    if extra:
        yield f"its forward takes '**{extra[0]}', and the example inputs have some"
    for name in written_attributes(model, inputs):
        yield f"its forward writes the attribute '{name}'"


def _has_called(path: str, called: set[Any]) -> bool:
    prefix = f"{path}." if path else ""
    return any(str(target).startswith(prefix) for target in called)


def _named(path: str) -> str:
    return f"module '{path}'" if path else "the model"
