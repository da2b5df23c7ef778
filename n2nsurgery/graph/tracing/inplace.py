"""Rewrites in-place operations out of place, so that a tapped activation keeps its value.

fx's data flow knows nothing of mutation: a skip that reads `relu_(x)`'s input after the call would read the output.
What an operation overwrites, and which values share memory, was seen when it was evaluated. Every later use of an
overwritten value is redirected to the result. Where another live view of the same memory would have seen the
mutation, or where the operation has no other form, it stays as it is and the values are marked `mutated`: nothing may
tap them.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from n2nsurgery.graph.tracing.evaluator import storage_of
from n2nsurgery.graph.tracing.value_proxy import IN_PLACE_OPERATORS

Memory = tuple[tuple[Any, ...], ...]  # for every tensor of a value: storage, offset, strides, sizes, type

_OPERATORS: dict[Any, Callable[..., Any]] = {
    getattr(operator, name): getattr(operator, f"__{name[1:]}__") for name in IN_PLACE_OPERATORS
}


def memory_of(value: Any) -> Memory:  # noqa: ANN401 - any value of the traced code
    """Where the tensors in `value` lie; equal for tensors that are the same in all but name."""
    tensors = [t for t in tree_leaves(value) if isinstance(t, torch.Tensor) and t.layout is torch.strided]
    return tuple((storage_of(t), t.storage_offset(), t.stride(), t.shape, t.dtype) for t in tensors)


def functionalize(graphs: Sequence[fx.Graph], root: nn.Module) -> None:
    """Rewrite every in-place operation of `graphs` (over the same `root`) that can be; mark the values of the others.

    A module is shared by its calls, in every graph: it is rewritten where all of them can be.
    """
    mutations = [mutation for graph in graphs for mutation in _mutations(graph, root)]
    kept = {mutation.node.target for mutation in mutations if mutation.stays and mutation.node.op == "call_module"}
    for mutation in mutations:
        node = mutation.node
        for value in (*mutation.names, *mutation.views):
            value.meta["overwritten"] = True
        if mutation.stays or (node.op == "call_module" and node.target in kept):
            for value in (*mutation.names, *mutation.views, node):
                value.meta["mutated"] = True
            continue
        _rewrite(node, root)
        for value in mutation.names:
            for user in _users_after(node, value):
                user.replace_input_with(value, node)
    for node in (node for graph in graphs for node in graph.nodes):
        node.meta.pop("memory", None)
        node.meta.pop("overwrites", None)


@dataclass(frozen=True, kw_only=True)
class _Mutation:
    """`node` overwrites a value that has `names`, of which it becomes one; `views` share some of its memory.

    It `stays` in place where a view is read afterwards, or where the operation has no other form.
    """

    node: fx.Node
    names: tuple[fx.Node, ...]
    views: tuple[fx.Node, ...]
    stays: bool


def _mutations(graph: fx.Graph, root: nn.Module) -> Iterator[_Mutation]:
    """The overwritten values of a graph, but for buffers, whose updates are meant to last."""
    sharing: dict[int, list[fx.Node]] = {}
    for node in graph.nodes:
        overwrites = node.meta.get("overwrites", ())  # the flags that merging the modes has added have none
        touched = dict.fromkeys(other for storage in overwrites for other in sharing.get(storage, ()))
        if touched and not any(value.op == "get_attr" for value in touched):
            names = tuple(other for other in touched if other.meta["memory"] == node.meta["memory"])
            views = tuple(other for other in touched if other not in names)
            seen = any(_users_after(node, view) for view in views)
            yield _Mutation(node=node, names=names, views=views, stays=seen or not names or not _has_form(node, root))
        for storage in {tensor[0] for memory in node.meta.get("memory", ()) for tensor in memory}:
            sharing.setdefault(storage, []).append(node)


def _users_after(node: fx.Node, value: fx.Node) -> list[fx.Node]:
    return [user for user in value.users if user > node]


def _has_form(node: fx.Node, root: nn.Module) -> bool:
    if node.op == "call_module":
        return getattr(root.get_submodule(str(node.target)), "inplace", False) is True
    return _functional_call(node) is not None


def _rewrite(node: fx.Node, root: nn.Module) -> None:
    """Make `node`, which has an out-of-place form, take it."""
    call = None if node.op == "call_module" else _functional_call(node)
    if call is None:
        root.get_submodule(str(node.target)).inplace = False  # type: ignore[assignment]
    else:
        node.target, node.args, node.kwargs = call


def _functional_call(node: fx.Node) -> tuple[Any, Any, Any] | None:
    """Target, arguments and keyword arguments of the same call out of place, where there is one."""
    if node.target in _OPERATORS:
        return _OPERATORS[node.target], node.args, node.kwargs
    if node.kwargs.get("inplace") is True:
        return node.target, node.args, {**node.kwargs, "inplace": False}
    flag = _inplace_position(node.target)
    if flag is not None and node.args[flag : flag + 1] == (True,):
        return node.target, (*node.args[:flag], False, *node.args[flag + 1 :]), node.kwargs
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    plain = name.removesuffix("_")
    homes = (torch.Tensor,) if node.op == "call_method" else (torch, functional)
    forms = [getattr(home, plain) for home in homes if plain != name and callable(getattr(home, plain, None))]
    if not forms:
        return None
    return plain if node.op == "call_method" else forms[0], node.args, node.kwargs


def _inplace_position(function: Any) -> int | None:  # noqa: ANN401 - any function
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # built-in without a signature
        return None
    return names.index("inplace") if "inplace" in names else None
