"""A ReLU behind a BatchNorm becomes part of it, where nothing else can see what lies between.

That is known of a traced module, from its graphs, and inside of a call of an nn.Sequential. Elsewhere the ReLU stays
torch's, which keeps the layout and costs one more pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.sparse_training.modules.laid_out import LaidOutBatchNorm

_FUNCTIONS = (torch.relu, torch.relu_, F.relu)
_METHODS = ("relu", "relu_")


class FusingSequential(nn.Sequential):
    """An nn.Sequential that computes a BatchNorm and the ReLU behind it in one pass.

    Who calls one of them alone, or looks at them by hooks, gets what each of them gives.
    """

    def forward(self, input: Any) -> Any:  # noqa: A002, ANN401 - torch's signature
        """What nn.Sequential gives."""
        children = iter((*zip(self, [*self][1:], strict=False), (self[-1], None)) if len(self) else ())
        for child, behind in children:
            if _fits(child) and type(behind) is nn.ReLU and not _watched(behind):
                input = child(input, relu=True)  # noqa: A001
                next(children)
            else:
                input = child(input)  # noqa: A001
        return input


def fuse_relu(twin: nn.Module) -> None:
    """Fuse in place what can be; the modules of `twin` are its own."""
    if isinstance(twin, TracedModule):
        _fuse_graphs(twin)
    for child in twin.modules():
        if type(child) is nn.Sequential:
            child.__class__ = FusingSequential


def _fuse_graphs(twin: TracedModule) -> None:
    calls = [(graph, node) for graph in twin.n2n_graphs for node in graph.nodes if node.op == "call_module"]
    norms = {id(norm): norm for _, node in calls if _fits(norm := twin.get_submodule(str(node.target)))}
    for key, norm in norms.items():
        places = [(graph, node) for graph, node in calls if id(twin.get_submodule(str(node.target))) == key]
        behind = [(graph, node, _relu_behind(twin, node)) for graph, node in places]
        if any(relu is None for _, _, relu in behind):
            continue
        norm.relu = True  # type: ignore[assignment]
        for graph, node, relu in behind:
            assert relu is not None
            relu.replace_all_uses_with(node)
            graph.erase_node(relu)
    twin.recompile()


def _relu_behind(twin: TracedModule, node: fx.Node) -> fx.Node | None:
    """The ReLU that alone uses this node, or None."""
    if len(node.users) != 1:
        return None
    user = next(iter(node.users))
    if user.op == "call_module":
        relu = twin.get_submodule(str(user.target))
        return user if type(relu) is nn.ReLU and not _watched(relu) else None
    known = user.target in (_FUNCTIONS if user.op == "call_function" else _METHODS if user.op == "call_method" else ())
    return user if known and user.args[:1] == (node,) else None


def _fits(module: nn.Module | None) -> bool:
    return isinstance(module, LaidOutBatchNorm) and not _watched(module)


def _watched(module: nn.Module) -> bool:
    """Whether hooks would see another input or output."""
    return any(_hooks(module))


def _hooks(module: nn.Module) -> Iterator[bool]:
    for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        yield bool(module.__dict__.get(name))
