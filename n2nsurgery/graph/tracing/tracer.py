"""A symbolic tracer whose proxies carry values at two batch sizes.

Every node is evaluated on tensors without data, with batch sizes 4 and 6. A Python scalar, string or tuple of them
that is EQUAL in both is a fact about the model: it becomes a constant, and control flow on it is followed. What
differs depends on the batch and stays symbolic. Nothing specializes silently: a branch on a value that differs, or on
a tensor's content, is an error that names the source line.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any
from unittest import mock

import torch
from torch import fx, nn
from torch.fx.node import map_aggregate
from torch.fx.proxy import TraceError as FxTraceError

from n2nsurgery.core.outputs import arguments
from n2nsurgery.graph.model_inputs import Region, holds_tensor, leaves_of, samples_of
from n2nsurgery.graph.tracing.evaluator import Evaluator, ValuePair
from n2nsurgery.graph.tracing.leaves import is_leaf, leaf_functions
from n2nsurgery.graph.tracing.side_effects import drawn, unchanged
from n2nsurgery.graph.tracing.value_proxy import ValueAttribute, ValueProxy, instances_by_value, is_fact
from n2nsurgery.graph.tracing.weight_uses import Product

ModuleCall = tuple[str, int]  # a container's path, and how many calls of it came before
_FACTORIES = ("arange", "zeros", "ones", "full", "empty", "eye", "linspace", "tensor", "as_tensor", "finfo", "iinfo")
_RANDOM = ("rand", "randn", "randint", "randperm", "normal", "bernoulli")


class ValueTracer(fx.Tracer):
    """Traces one module in its present mode; see the module docstring.

    `examples`: example inputs by the name of forward's argument (batch first). `leaf_names`: paths of further
    modules to keep as one node. `regions`: submodules to trace in place of the whole, on their examples.

    After `trace`, every node's meta holds its `address`, its `values` and what it `overwrites` (storages of the first
    batch size); also its `order`, the calls of containers that it is `inside` of, was `returned_by` and was `given_to`
    (with argument, order and surrounding calls). `weight_uses` holds, by parameter name, the multiply-accumulates of
    one of its weights for one sample, `products` how it is multiplied with; `tables` the parameters in which rows are
    looked up; `lost` the classes of objects that forward passes on or returns, of which the graph holds the tensors.
    """

    proxy_buffer_attributes = True  # a buffer expanded to the batch size must be symbolic too

    def __init__(
        self, examples: Mapping[str, Any], leaf_names: frozenset[str] = frozenset(), regions: tuple[Region, ...] = ()
    ) -> None:
        super().__init__(autowrap_functions=leaf_functions())
        self.examples = examples
        self.leaf_names = leaf_names
        self.regions = regions
        self._samples = None if regions else samples_of(examples)
        self.failed_in = ""
        self.weight_uses: dict[str, int] = {}
        self.products: dict[str, Product] = {}
        self.tables: frozenset[str] = frozenset()
        self.lost: set[str] = set()
        self._evaluator = Evaluator()
        self._stack = [""]
        self._calls: Counter[str] = Counter()
        self._entered: Counter[str] = Counter()
        self._containers: list[ModuleCall] = []

    def trace(self, root: nn.Module, concrete_args: dict[str, Any] | None = None) -> fx.Graph:  # type: ignore[override]
        """The graph of `root`, which is as before but for the constants that the graph refers to."""
        known = set(vars(root))
        with unchanged(root), instances_by_value(), self._symbolic_factories(), self._no_draws():
            graph = super().trace(root, concrete_args)
            used = {node.target for node in graph.nodes if node.op == "get_attr"} - known
            constants = {name: value for name, value in vars(root).items() if name in used}
        vars(root).update(constants)
        self.weight_uses = self._evaluator.weight_uses(root)
        self.products = self._evaluator.products(root)
        self.tables = self._evaluator.tables(root)
        return graph

    # -- what fx asks of a tracer -----------------------------------------------------------------------------

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Leaves by policy, and those that could not be traced before."""
        return module_qualified_name in self.leaf_names or is_leaf(m)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        """Trace into a module or record it; remembers the innermost module of a failure."""
        if self._evaluator.active:
            return forward(*args, **kwargs)
        try:
            path = self.path_of_module(m)
        except NameError:  # made inside forward: part of its caller's code
            return forward(*args, **kwargs)
        self._stack.append(path)
        try:
            if self.is_leaf_module(m, path):
                return super().call_module(m, forward, args, kwargs)
            return self._followed(path, m, forward, args, kwargs)
        except Exception:
            self.failed_in = self.failed_in or self._stack[-1]
            raise
        finally:
            self._stack.pop()

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:  # noqa: ANN401
        """Parameters and buffers are proxies for traced code, themselves for the code inside leaves."""
        return attr_val if self._evaluator.active else super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_args_for_root(
        self,
        root_fn: Callable[..., Any],
        *_: Any,  # noqa: ANN401
        **__: Any,  # noqa: ANN401
    ) -> tuple[Callable[..., Any], list[Any]]:
        """A placeholder for each example that holds a tensor; everything else keeps its default or its example."""
        given = [self.create_proxy("placeholder", name, (), {}) for name in self.examples]

        def call(root: nn.Module, *values: Any) -> Any:  # noqa: ANN401
            inputs = dict(zip(self.examples, values, strict=True))
            if self.regions:
                return [region.call(root, inputs) for region in self.regions]
            positional, named = arguments(root, inputs)
            return root_fn(root, *positional, **named)

        return call, [self.root, *given]

    def create_arg(self, a: Any) -> Any:  # noqa: ANN401
        """As in fx, but for proxies that are taken for tensors, and for dataclasses that are dictionaries."""
        if issubclass(type(a), fx.Proxy):
            return a.node
        if is_dataclass(a) and not isinstance(a, type):
            values = {field.name: self.create_arg(getattr(a, field.name)) for field in fields(a) if field.init}
            return self.create_node("call_function", type(a), (), values)
        try:
            return super().create_arg(a)
        except NotImplementedError:  # an object of the user's: what a graph can hold of it are its tensors
            self.lost.add(type(a).__name__)
            return [self.create_arg(leaf) for leaf in leaves_of(a) if isinstance(leaf, fx.Proxy | torch.Tensor)]

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:  # noqa: ANN401
        """A node with its address `<module path>.<function>#<call index>`, which train and eval mode share."""
        node = super().create_node(kind, target, *args, **kwargs)
        if kind == "call_module":
            base, caller = str(target), self._stack[-2]
        else:
            function = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            base, caller = f"{self._stack[-1]}.{function}".lstrip("."), self._stack[-1]
        node.meta.update(address=f"{base}#{self._calls[base]}", module=caller)
        node.meta.update(order=len(self.graph.nodes), inside=tuple(self._containers), returned_by=(), given_to=())
        self._calls[base] += 1
        return node

    def _followed(
        self, path: str, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        """Trace into a container; its nodes, its inputs and its output are marked as those of this call."""
        call = (path, self._entered[path])
        self._entered[path] += 1
        for key, value in (*enumerate(args), *kwargs.items()):
            if type(value) is ValueProxy:
                value.node.meta["given_to"] += ((call, key, len(self.graph.nodes), tuple(self._containers)),)
        self._containers.append(call)
        try:
            with self._no_draws():
                result = super().call_module(m, forward, args, kwargs)
        finally:
            self._containers.pop()
        if type(result) is ValueProxy:
            result.node.meta["returned_by"] += (call,)
        return result

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        """The proxy of a new node with its values; or the value itself, without a node, where it is a fact."""
        if kind == "placeholder" and not holds_tensor(self.examples[target]):
            return self.examples[target]
        evaluation = self._evaluate(kind, target, args, kwargs)
        values = evaluation.values
        # Proxies answer attributes that are facts by themselves: what comes here as `getattr` is to be a node.
        foldable = kind != "call_module" and target is not getattr and values[0] is not None
        if foldable and is_fact(*values):
            return values[0]
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs))
        node.meta.update(values=values, overwrites=evaluation.overwrites)
        return ValueProxy(node, self, values)

    def proxy(self, node: fx.Node) -> ValueProxy:
        """The proxy of a node that was recorded."""
        return ValueProxy(node, self, node.meta["values"])

    # -- values -----------------------------------------------------------------------------------------------

    def _evaluate(self, kind: str, target: Any, args: Any, kwargs: Any) -> ValuePair:  # noqa: ANN401
        if kind == "placeholder":
            return self._evaluator.inputs(self.examples[target], self._samples)
        if kind == "get_attr":
            with self._evaluator.apart():  # reading the attribute makes no further node
                found = attrgetter(target)(self.root)
            return ValuePair(values=(found, found))
        arguments = _at(0, (args, kwargs)), _at(1, (args, kwargs))
        if kind == "call_function":
            return self._evaluator.call(target, arguments)
        if kind == "call_method":
            return self._evaluator.call(functools.partial(_call_method, target), arguments)
        module = self.root.get_submodule(target)
        try:
            return self._evaluator.call(module, arguments)
        except Exception:
            if target not in self.leaf_names:
                raise
            return self._evaluator.call_on_data(module, arguments)

    @contextmanager
    def _no_draws(self) -> Iterator[None]:
        """Within, traced code must draw no random number at once: the graph would repeat it for ever."""
        before = drawn()
        yield
        if drawn() != before:
            raise FxTraceError("random numbers from outside the graph")

    @contextmanager
    def _symbolic_factories(self) -> Iterator[None]:
        """Within: torch.arange, torch.zeros, ... accept proxies, which the C++ functions would reject.

        Random tensors become nodes in any case: each call of the graph draws its own. An autograd function is one node,
        which keeps its backward pass.
        """

        def symbolic(factory: Callable[..., Any], *, always: bool) -> Callable[..., Any]:
            @functools.wraps(factory, updated=())
            def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                proxies: list[Any] = []
                map_aggregate((args, kwargs), lambda a: proxies.append(a) if isinstance(a, fx.Proxy) else None)
                if not self._evaluator.active and (always or proxies):
                    return self.create_proxy("call_function", factory, args, kwargs)
                return factory(*args, **kwargs)

            return wrapped

        apply = inspect.getattr_static(torch.autograd.Function, "apply")

        def applied(function: type[torch.autograd.Function], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if self._evaluator.active:
                return apply.__get__(None, function)(*args, **kwargs)
            return self.create_proxy("call_function", _applying(function), args, kwargs)

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(torch.autograd.Function, "apply", classmethod(applied)))
            for name in _FACTORIES + _RANDOM:
                replaced = symbolic(getattr(torch, name), always=name in _RANDOM)
                stack.enter_context(mock.patch.object(torch, name, replaced))
            yield


@functools.cache
def _applying(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """The `apply` of an autograd function as a plain function, which a graph can call by the function's name."""

    def apply(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return function.apply(*args, **kwargs)

    return functools.update_wrapper(apply, function, assigned=("__module__", "__name__", "__qualname__"), updated=())


def _at(index: int, arguments: tuple[Any, Any]) -> Any:  # noqa: ANN401 - arguments of a call
    """The arguments with every proxy replaced by its value at one of the batch sizes."""

    def value(argument: Any) -> Any:  # noqa: ANN401
        if isinstance(argument, ValueAttribute):
            return argument.as_value(index)
        return argument.known[index] if isinstance(argument, ValueProxy) else argument

    return map_aggregate(arguments, value)


def _call_method(name: str, owner: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any method
    return getattr(owner, name)(*args, **kwargs)
