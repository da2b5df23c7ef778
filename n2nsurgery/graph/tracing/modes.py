"""One graph for train and eval mode where the two differ by flags only.

Tracing bakes `training=self.training` in as a literal. Where the graphs of both modes are the same node by node, but
for arguments that are True in train mode and False in eval mode, the literal becomes a read of the `training` flag of
the module that made the call: one graph then serves both modes, also for submodules that are switched on their own.
Where the structure differs (auxiliary heads, say), the two graphs stay side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn

_CONSTANT = "_tensor_constant"


def merge_modes(train_graph: fx.Graph, eval_graph: fx.Graph, root: nn.Module) -> fx.Graph | None:
    """The graph that serves both modes, or None where their structures differ. `train_graph` is edited in place."""
    flagged: list[fx.Node] = []
    if len(train_graph.nodes) != len(eval_graph.nodes):
        return None
    twin: dict[fx.Node, fx.Node] = {}
    for in_train, in_eval in zip(train_graph.nodes, eval_graph.nodes, strict=True):
        twin[in_train] = in_eval
        if not _same_call(in_train, in_eval, root):
            return None
        differences = list(_differences((in_train.args, in_train.kwargs), (in_eval.args, in_eval.kwargs), twin))
        if any(pair != (True, False) for pair in differences):
            return None
        if differences:
            flagged.append(in_train)
    for in_train, in_eval in twin.items():  # what holds in one mode only: dropout returns its very input in eval mode
        in_train.meta["memory"] += in_eval.meta["memory"]
        in_train.meta["overwrites"] |= in_eval.meta["overwrites"]
        for calls in ("returned_by", "given_to"):
            in_train.meta[calls] = tuple(c for c in in_train.meta.get(calls, ()) if c in in_eval.meta.get(calls, ()))
    for node in flagged:
        _read_flag(node, twin[node])
    return train_graph


def _same_call(first: fx.Node, second: fx.Node, root: nn.Module) -> bool:
    if first.op != second.op:
        return False
    if first.op == "get_attr" and _CONSTANT in str(first.target) and _CONSTANT in str(second.target):
        return torch.equal(getattr(root, str(first.target)), getattr(root, str(second.target)))
    return first.target == second.target and (first.op == "output" or first.meta["address"] == second.meta["address"])


def _differences(first: Any, second: Any, twin: dict[fx.Node, fx.Node]) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    if isinstance(first, fx.Node):
        if twin.get(first) is not second:
            yield first, second
    elif isinstance(first, tuple | list) and isinstance(second, tuple | list) and len(first) == len(second):
        for a, b in zip(first, second, strict=True):
            yield from _differences(a, b, twin)
    elif isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        for key in first:
            yield from _differences(first[key], second[key], twin)
    elif isinstance(first, slice) and isinstance(second, slice):
        ends = ("start", "stop", "step")
        yield from _differences([getattr(first, e) for e in ends], [getattr(second, e) for e in ends], twin)
    elif type(first) is not type(second) or first != second:
        yield first, second


def _read_flag(node: fx.Node, in_eval: fx.Node) -> None:
    """Replace the arguments of `node` that are True here and False in `in_eval` by the calling module's flag."""
    path = f"{node.meta['module']}.training".lstrip(".")
    with node.graph.inserting_before(node):
        flag = node.graph.get_attr(path)
    flag.meta.update(address=f"{node.meta['address']}.training", module=node.meta["module"], shapes=None)

    def flagged(first: Any, second: Any) -> Any:  # noqa: ANN401
        if first is True and second is False:
            return flag
        if isinstance(first, tuple | list):
            return type(first)(flagged(a, b) for a, b in zip(first, second, strict=True))
        if isinstance(first, dict):
            return {key: flagged(value, second[key]) for key, value in first.items()}
        return first

    node.args = flagged(node.args, in_eval.args)
    node.kwargs = flagged(node.kwargs, in_eval.kwargs)
