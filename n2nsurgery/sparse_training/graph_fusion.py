"""A BatchNorm, the sum with another value and the ReLU behind them as one call of an fx graph.

So are a sparse layer and the ReLU behind it.

All are fused where nothing else in the graph can see what lies between, and no hook.
"""

from __future__ import annotations

import operator

import torch
from torch import fx, nn
from torch.nn import functional as F

from n2nsurgery.sparse_training.modules.laid_out import LaidOutBatchNorm
from n2nsurgery.sparse_training.modules.layers import SparseConv, SparseLinear

_RELUS = {"call_function": (torch.relu, torch.relu_, F.relu), "call_method": ("relu", "relu_")}
_SUMS = {"call_function": (operator.add, operator.iadd, torch.add), "call_method": ("add", "add_")}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def fuse_graph(graph: fx.Graph, root: nn.Module) -> list[nn.Module]:
    """Fuse in place what can be; returns the modules of `root` that must not be watched for that to be right."""
    fused: list[nn.Module] = []
    for node in list(graph.nodes):
        if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
            continue
        child = root.get_submodule(str(node.target))
        if fits(child) and (relu := _fuse(graph, node, root)) is not None:
            fused += [child, *relu]
    return fused


def _fuse(graph: fx.Graph, node: fx.Node, root: nn.Module) -> list[nn.Module] | None:
    """The modules that became part of this call, of a BatchNorm or a sparse layer, or None where none could."""
    adds = isinstance(root.get_submodule(str(node.target)), LaidOutBatchNorm)
    summed, other = _sum_behind(node) if adds else (None, None)
    relu = _relu_behind(summed or node, root)
    gone = [behind for behind in (relu, summed) if behind is not None]
    if not gone:
        return None
    with graph.inserting_before(node if summed is None else summed):
        given: dict[str, fx.node.Argument] = {"relu": relu is not None, **({"add": other} if adds else {})}
        call = graph.call_module(str(node.target), node.args, given)
    call.meta = dict(node.meta)
    gone[0].replace_all_uses_with(call)
    for dead in (*gone, node):
        graph.erase_node(dead)
    return [root.get_submodule(str(relu.target))] if relu is not None and relu.op == "call_module" else []


def _sum_behind(norm: fx.Node) -> tuple[fx.Node | None, fx.Node | None]:
    """The sum that alone uses this node, and what else is added; the norm is then computed where the sum is."""
    user, source = _only_user(norm), norm.args[0]
    if user is None or not isinstance(source, fx.Node) or len(source.users) != 1:
        return None, None
    if not is_sum(user) or len(user.args) != 2 or user.kwargs:  # noqa: PLR2004 - a sum of two
        return None, None
    first, second = user.args
    if first is norm and second is not norm and isinstance(second, fx.Node):
        return user, second
    into_first = user.target in (operator.iadd, "add_")
    return (user, first) if isinstance(first, fx.Node) and first is not norm and not into_first else (None, None)


def _relu_behind(node: fx.Node, root: nn.Module) -> fx.Node | None:
    """The ReLU that alone uses this node, or None."""
    user = _only_user(node)
    if user is None:
        return None
    if user.op == "call_module":
        relu = root.get_submodule(str(user.target))
        return user if type(relu) is nn.ReLU and not watched(relu) else None
    return user if is_relu(user) and user.args[:1] == (node,) else None


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def is_relu(node: fx.Node) -> bool:
    """Whether this is a call of a function or method that is a ReLU."""
    return node.target in _RELUS.get(node.op, ())


def is_sum(node: fx.Node) -> bool:
    """Whether this is a call of a function or method that adds."""
    return node.target in _SUMS.get(node.op, ())


def fits(module: nn.Module | None) -> bool:
    """Whether this is a BatchNorm in the layout, or a sparse layer, that nobody watches."""
    return isinstance(module, (LaidOutBatchNorm, SparseConv, SparseLinear)) and not watched(module)


def watched(module: nn.Module) -> bool:
    """Whether hooks would see another input or output."""
    return any(module.__dict__.get(name) for name in _HOOKS)
