"""Tracing behind one function: a model in, its traced copy out.

What cannot be traced through becomes one node (the class of the innermost failing module), and is reported. In-place
operations are rewritten, train and eval mode are both traced, and nothing of the original is touched.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import fx, nn

from n2nsurgery.core.errors import InternalError, TraceError
from n2nsurgery.core.outputs import modes_kept
from n2nsurgery.graph.model_inputs import bind_inputs, unwrapped
from n2nsurgery.graph.tracing.inplace import functionalize, memory_of
from n2nsurgery.graph.tracing.leaves import holds_weighted
from n2nsurgery.graph.tracing.modes import merge_modes
from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.graph.tracing.tracer import ValueTracer
from n2nsurgery.graph.tracing.weight_uses import Product


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A class of modules that was kept as one node because its forward cannot be followed."""

    class_name: str
    paths: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A traced model.

    `module` is a traced deep copy. `leaves`: what was kept opaque, and why. `weight_uses`: by parameter name, the
    multiply-accumulates of one weight for one sample, as far as calls of torch's functions show them; `products`: how
    the parameter is multiplied with there. `tables`: names of the parameters in which rows are looked up.
    `original`: the model that was traced; `inplace`: surgery may change that very object.
    """

    module: TracedModule
    leaves: tuple[Leaf, ...]
    weight_uses: Mapping[str, int]
    products: Mapping[str, Product] = field(default_factory=dict)
    tables: frozenset[str] = frozenset()
    original: nn.Module | None = None
    inplace: bool = False

    @cached_property
    def subject(self) -> nn.Module:
        """What surgery changes where it does not rewrite: the original itself, or one copy of it."""
        if self.original is None:
            raise InternalError("this trace does not hold the model that was traced")
        return self.original if self.inplace else copy.deepcopy(self.original)


def trace(model: nn.Module, example_inputs: Sequence[Any] | Mapping[str, Any]) -> Trace:
    """Trace `model` in train and in eval mode; inside of `torch.compile` and `DataParallel`, the module that they hold.

    `example_inputs`: positional inputs in forward's order, or inputs by argument name; tensors with the batch first,
    whose shapes, dtypes and devices count, never their values. The returned module is in the model's present mode.
    Where only one mode can be followed, the graph is that mode's, and the returned module refuses to run.
    Raises TraceError, naming the module and the source line, where the root cannot be followed.
    """
    model = unwrapped(model)
    examples = bind_inputs(model, example_inputs)
    training = model.training
    try:
        root = copy.deepcopy(model)
    except Exception as error:
        raise TraceError(f"{type(model).__name__} cannot be copied, so it cannot be pruned: {error}") from error
    with modes_kept(root):
        followed = _follow(root, examples)
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
        original=model,
    )


@dataclass(kw_only=True)
class _Followed:
    """What following a model gave: graphs by mode, and why they cannot stand for the model, if so."""

    graphs: dict[bool, fx.Graph] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    uses: dict[str, int] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    tables: set[str] = field(default_factory=set)
    unusable: str | None = None


def _follow(root: nn.Module, examples: Mapping[str, Any]) -> _Followed:
    """Both modes; a leaf of one is one in both. Where train mode needs leaves with weights inside, eval mode alone."""
    found = _Followed()
    try:
        _follow_mode(root, examples, found, mode=False)
    except TraceError as error:
        found = _Followed(unusable=f"eval mode cannot be followed: {error}")
        try:
            _follow_mode(root, examples, found, mode=True)
        except TraceError:
            raise error from error.__cause__
        return found
    both = replace(found, leaves=[*found.leaves], graphs={})
    try:
        _follow_mode(root, examples, both, mode=True)
    except TraceError as error:
        return replace(found, unusable=found.unusable or f"train mode cannot be followed: {error}")
    more = both.leaves[len(found.leaves) :]
    hiding = next((leaf for leaf in more if holds_weighted(root.get_submodule(leaf.paths[0]))), None)
    if hiding is not None:
        reason = f"train mode cannot be followed: {hiding.class_name}: {hiding.reason}"
        return replace(found, unusable=found.unusable or reason)
    if more:
        _follow_mode(root, examples, both, mode=False)
    else:
        both.graphs[False] = found.graphs[False]
    return both


def _follow_mode(root: nn.Module, examples: Mapping[str, Any], found: _Followed, *, mode: bool) -> None:
    """Add the graph of one mode to `found`, with the leaves that it takes."""
    root.train(mode)
    tracer, found.graphs[mode] = _trace_one(root, examples, found.leaves)
    for name, count in tracer.weight_uses.items():
        found.uses[name] = max(found.uses.get(name, 0), count)
    found.products |= tracer.products
    found.tables |= tracer.tables
    if tracer.lost:
        found.unusable = f"its forward passes on objects that no graph can hold: {', '.join(sorted(tracer.lost))}"


def _trace_one(root: nn.Module, examples: Mapping[str, Any], leaves: list[Leaf]) -> tuple[ValueTracer, fx.Graph]:
    while True:
        tracer = ValueTracer(examples, frozenset(path for leaf in leaves for path in leaf.paths))
        try:
            return tracer, tracer.trace(root)
        except Exception as error:
            path = tracer.failed_in
            if not path or any(path in leaf.paths for leaf in leaves):
                where = f"{type(root).__name__}{f', module {path!r}' if path else ''}"
                raise TraceError(f"{where} cannot be traced: {error} ({source_line(error)})") from error
            kind = type(root.get_submodule(path))
            same = tuple(name for name, module in root.named_modules() if type(module) is kind)
            leaves.append(Leaf(class_name=kind.__name__, paths=same, reason=f"{error} ({source_line(error)})"))


def source_line(error: BaseException) -> str:
    """`file:line` of the innermost frame that belongs neither to torch nor to the tracer."""
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [f for f in frames if "/torch/" not in f.filename and "/n2nsurgery/graph/" not in f.filename]
    return f"{foreign[-1].filename}:{foreign[-1].lineno}" if foreign else "no source line"


def _keep_shapes(graph: fx.Graph) -> None:
    """Reduce every node's values to where they lie, and to their shapes at both batch sizes (None for no tensor)."""
    for node in graph.nodes:
        values = node.meta.pop("values", None) or (None, None)
        node.meta["memory"] = (memory_of(values[0]),)
        node.meta.setdefault("overwrites", frozenset())
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
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
