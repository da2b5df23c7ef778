"""A ReLU behind a BatchNorm becomes part of it, where nothing else can see what lies between.

That is known of a traced module, from its graphs, and of a chain of nn.Sequential that begins at the root. Elsewhere
the ReLU stays torch's, which keeps the layout and costs one more pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch
from torch import fx, nn
from torch.nn import functional as F

from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.sparse_training.modules.laid_out import LaidOutBatchNorm

_FUNCTIONS = (torch.relu, torch.relu_, F.relu)
_METHODS = ("relu", "relu_")


def fuse_relu(twin: nn.Module) -> None:
    """Fuse in place what can be."""
    if isinstance(twin, TracedModule):
        _fuse_graphs(twin)
    elif not any(isinstance(child, TracedModule | fx.GraphModule) for child in twin.modules()):
        _fuse_chain(twin, Counter(id(child) for _, child in twin.named_modules(remove_duplicate=False)))


def _fuse_chain(chain: nn.Module, uses: Counter[int]) -> None:
    if type(chain) is not nn.Sequential or _watched(chain):
        return
    names = list(chain._modules)  # noqa: SLF001 - the order of a Sequential
    for name, behind in zip(names, [*names[1:], None], strict=True):
        child = chain._modules[name]  # noqa: SLF001
        follower = None if behind is None else chain._modules[behind]  # noqa: SLF001
        if _fits(child) and uses[id(child)] == 1 and type(follower) is nn.ReLU and not _watched(follower):
            assert isinstance(child, LaidOutBatchNorm)
            assert behind is not None
            child.relu = True
            chain._modules[behind] = nn.Identity()  # noqa: SLF001
        elif child is not None:
            _fuse_chain(child, uses)


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
