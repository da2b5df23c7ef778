"""Tracing behind one function: a model in, its traced copy out.

What cannot be traced through becomes one node (the class of the innermost failing module), and is reported. In-place
operations are rewritten, train and eval mode are both traced, and nothing of the original is touched.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import fx, nn

from n2nsurgery.core.errors import InternalError, TraceError
from n2nsurgery.core.outputs import modes_kept
from n2nsurgery.graph.model_inputs import bind_inputs, unwrapped
from n2nsurgery.graph.tracing.following.follow import Leaf, follow
from n2nsurgery.graph.tracing.following.regions import follow_regions
from n2nsurgery.graph.tracing.inplace import functionalize, memory_of
from n2nsurgery.graph.tracing.modes import merge_modes
from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.graph.tracing.weight_uses import Product

_UNESCAPED = frozenset('"\\\n\r')


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A traced model.

    `module` is a traced deep copy. `leaves`: what was kept opaque, and why. `weight_uses`: by parameter name, the
    multiply-accumulates of one weight for one sample, as far as calls of torch's functions show them; `products`: how
    the parameter is multiplied with there. `tables`: names of the parameters in which rows are looked up.
    `unfollowed`: why the graph shows parts of the model only, each by itself; None where it shows the whole.
    `original`: the model that was traced; `inplace`: surgery may change that very object.
    """

    module: TracedModule
    leaves: tuple[Leaf, ...]
    weight_uses: Mapping[str, int]
    products: Mapping[str, Product] = field(default_factory=dict)
    tables: frozenset[str] = frozenset()
    unfollowed: str | None = None
    original: nn.Module | None = None
    inplace: bool = False

    @cached_property
    def subject(self) -> nn.Module:
        """What surgery changes where it does not rewrite: the original itself, or one copy of it."""
        if self.original is None:
            raise InternalError("this trace does not hold the model that was traced")
        return self.original if self.inplace else copy.deepcopy(self.original)

    def let_weights_go(self) -> None:
        """Free the memory of the traced copy's weights: each becomes zeros that are stored once."""
        for parameter in self.module.parameters():
            if type(parameter) is nn.Parameter:
                parameter.data = parameter.data.new_zeros(()).expand(parameter.shape)


def trace(model: nn.Module, example_inputs: Sequence[Any] | Mapping[str, Any]) -> Trace:
    """Trace `model` in train and in eval mode; inside of `torch.compile` and `DataParallel`, the module that they hold.

    `example_inputs`: positional inputs in forward's order, or inputs by argument name; tensors with the batch first,
    whose shapes, dtypes and devices count, never their values. The returned module is in the model's present mode.
    Where only one mode can be followed, the graph is that mode's, and the returned module refuses to run.
    Where the root cannot be followed, the submodules that can be are, each on the arguments of its call for the
    examples; `unfollowed` says why. Raises TraceError, naming the module and the source line, where the model does not
    run on the examples either.
    """
    model = unwrapped(model)
    _require_plain_names(model)
    examples = bind_inputs(model, example_inputs)
    training = model.training
    try:
        root = copy.deepcopy(model)
    except Exception as error:
        raise TraceError(f"{type(model).__name__} cannot be copied, so it cannot be pruned: {error}") from error
    with modes_kept(root):
        try:
            followed = follow(root, examples)
        except TraceError as error:
            followed = follow_regions(root, examples, error)
    graphs = followed.graphs
    for graph in graphs.values():
        _keep_shapes(graph)
    merged = merge_modes(graphs[True], graphs[False], root) if len(graphs) > 1 else next(iter(graphs.values()))
    train_graph, eval_graph = (merged, merged) if merged is not None else (graphs[True], graphs[False])
    kept = (merged,) if merged is not None else (train_graph, eval_graph)
    functionalize(kept, root)
    _own_constants(root, kept)
    module = TracedModule(
        root, train_graph=train_graph, eval_graph=eval_graph, arguments=examples, unusable=followed.unusable
    )
    module.training = training
    return Trace(
        module=module,
        leaves=tuple(followed.leaves),
        weight_uses=followed.uses,
        products=followed.products,
        tables=frozenset(followed.tables),
        unfollowed=followed.unfollowed,
        original=model,
    )


def _require_plain_names(model: nn.Module) -> None:
    """Raise TraceError for a name that torch.fx would write into its code without escaping it."""
    for name in (name for named in (model.named_modules(), model.named_parameters()) for name, _ in named):
        if not _UNESCAPED.isdisjoint(name):
            raise TraceError(f"the name {name!r} holds a quotation mark, a backslash or a new line: rename that part")


def _keep_shapes(graph: fx.Graph) -> None:
    """Reduce every node's values to where they lie, their shapes at both batch sizes, and whether they are complex.

    The shapes of what is no tensor are None.
    """
    for node in graph.nodes:
        values = node.meta.pop("values", None) or (None, None)
        node.meta["memory"] = (memory_of(values[0]),)
        node.meta.setdefault("overwrites", frozenset())
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        node.meta["complex"] = any(tensor.is_complex() for tensor in tensors)
        node.meta["shapes"] = tuple(tuple(tensor.shape) for tensor in tensors) if len(tensors) == len(values) else None
    graph._tracer_cls = None  # noqa: SLF001 - a deepcopy of the graph must not hold on to the tracer


def _drop_constants(root: nn.Module) -> None:
    for name in [name for name in root.__dict__ if name.startswith("_tensor_constant")]:
        delattr(root, name)


def _own_constants(root: nn.Module, graphs: Sequence[fx.Graph]) -> None:
    """Tensors that the code makes on the fly become buffers outside the state_dict, so that `.to` moves them."""
    used = {node.target for graph in graphs for node in graph.nodes if node.op == "get_attr"}
    constants = {name: value for name, value in root.__dict__.items() if name.startswith("_tensor_constant")}
    _drop_constants(root)
    for name, value in constants.items():
        if name in used:
            root.register_buffer(name, value, persistent=False)
