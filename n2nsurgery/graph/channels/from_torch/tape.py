"""Tape: what a torch module computes for a batch of two, as the steps of a Program.

The module runs in eval mode on tensors without data; every call of a torch function that touches an input's data is
recorded. Leaves, custom modules and functions are seen through, however deep: they call torch too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from n2nsurgery.graph.channels.from_torch import operations as known
from n2nsurgery.graph.channels.from_torch.call import Recorder, TorchCall
from n2nsurgery.graph.channels.from_torch.moves import moved
from n2nsurgery.graph.channels.steps import AnyStep, LayerStep, Move, Opaque

_OVERRIDES = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")

COMPUTED = ".computed"
"""Suffix of a weight that is computed from a parameter, a part of it, say."""


class Tape(TorchFunctionMode):
    """While entered, records into `steps`; `weights` holds the layers' weights, `named` tensors by their names.

    `recorders`: what records a call, by the operation's name; calls of other operations become opaque steps.
    """

    def __init__(self, named: Mapping[str, Tensor], recorders: Mapping[str, Recorder]) -> None:
        super().__init__()
        self._recorders = recorders
        self.steps: list[AnyStep] = []
        self.weights: dict[str, Tensor] = {}
        self._names = {id(tensor): name for name, tensor in reversed(tuple(named.items()))}
        self._values: dict[int, int] = {}
        self._recipes: dict[int, tuple[Callable[..., Tensor], Any, Any]] = {}
        self._alive: list[Any] = []
        self._inside: list[Callable[..., Any]] = []
        self._count = 0

    def value(self, tensor: Tensor) -> int:
        """A new value, which `tensor` is from now on."""
        self._alive.append(tensor)
        self._values[id(tensor)] = self._count
        self._count += 1
        return self._count - 1

    def known(self, tensor: object) -> int | None:
        """The value that `tensor` is; None for a constant."""
        return self._values.get(id(tensor))

    def values(self, *tensors: object) -> tuple[int, ...]:
        """The values among `tensors`."""
        return tuple(value for tensor in tensors if (value := self.known(tensor)) is not None)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        name = known.operation_name(func)
        reads = [leaf for leaf in tree_leaves((args, kwargs)) if self.known(leaf) is not None]
        if not reads:
            result = func(*args, **kwargs)
            self._remember(func, args, kwargs, result)
            return result
        if name not in self._recorders and known.is_python(func) and func not in self._inside:
            self._inside.append(func)
            with _seen_through(func), self:
                result = func(*args, **kwargs)
            self._inside.pop()
            return result
        result = func(*args, **kwargs)
        if name == "setitem":
            self._record_setitem(args)
        elif name not in known.WITHOUT_DATA:
            self._record(name, func, args, kwargs, result)
        return result

    def _remember(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:  # noqa: ANN401
        """How a constant without data was made, so that its data can be had."""
        for index, made in enumerate(tree_leaves(result)):
            if isinstance(made, FakeTensor):
                self._alive.append((args, kwargs, made))
                self._recipes.setdefault(id(made), (partial(_leaf, func, index), args, kwargs))

    def real(self, tensor: Tensor) -> Tensor | None:
        """A constant with its data, on the CPU; None where that cannot be had."""
        if not isinstance(tensor, FakeTensor):
            with unset_fake_temporarily():
                return tensor.cpu()
        if id(tensor) not in self._recipes:
            return None
        func, args, kwargs = self._recipes[id(tensor)]
        leaves, layout = tree_flatten((args, kwargs))
        found = [self.real(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        if any(a is None and b is not None for a, b in zip(found, leaves, strict=True)):
            return None
        given, named = tree_unflatten(found, layout)
        with unset_fake_temporarily():
            return func(*given, **named)

    # -- recording --------------------------------------------------------------------------------------------

    def _record(self, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:  # noqa: ANN401
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if not results:
            return
        reads = self.values(*(args[:1] if name in known.OF_SECOND_SHAPE_ONLY else tree_leaves((args, kwargs))))
        if not reads:
            return
        call = TorchCall(name=name, function=func, args=args, kwargs=kwargs, results=results, reads=reads)
        record = self._recorders.get(name)
        if record is None or not record(self, call):
            self.add(Opaque, name, reads, results)

    def add(self, kind: type[AnyStep], name: str, reads: tuple[int, ...], results: list[Tensor], **more: Any) -> bool:  # noqa: ANN401
        """Record a step that writes `results`."""
        shapes = tuple(tuple(result.shape) for result in results)
        writes = tuple(self.value(result) for result in results)
        self.steps.append(kind(operation=name, reads=reads, writes=writes, shapes=shapes, **more))
        return True

    def add_move(self, name: str, given: Any, results: list[Tensor], call: Callable[[Any], Any]) -> bool:  # noqa: ANN401
        """Record `call(given)`, which moves the entries of the values in `given`; False where an index is unknown."""
        leaves, layout = tree_flatten(given)
        places = {i: value for i, leaf in enumerate(leaves) if (value := self.known(leaf)) is not None}
        if name in known.OF_SECOND_SHAPE_ONLY:
            places = dict([min(places.items())])
        constants: list[Any] = []
        for index, leaf in enumerate(leaves):
            constant = leaf
            if isinstance(leaf, Tensor) and index not in places:
                shaped = name in known.WITH_DATA_CONSTANTS | known.OF_SECOND_SHAPE_ONLY
                floating = leaf.is_floating_point() or name != "setitem"
                constant = _nothing(leaf) if shaped and floating else self.real(leaf)
                if constant is None:
                    return False
            constants.append(constant)
        apply = partial(moved, call, constants, layout, tuple(places))
        return self.add(Move, name, tuple(places.values()), results, apply=apply)

    def _record_setitem(self, args: tuple[Any, ...]) -> None:
        target = args[0]

        def assigned(given: Any) -> Tensor:  # noqa: ANN401
            into: Tensor = given[0].clone()
            index, value = given[1:]
            into[index] = value if isinstance(value, Tensor) else 0
            return into

        if not self.add_move("setitem", args, [target], assigned):
            self.add(Opaque, "setitem", self.values(*tree_leaves(args)), [target])

    def add_layer(self, name: str, source: Tensor, weight: Tensor, results: list[Tensor], **more: Any) -> bool:  # noqa: ANN401
        """Record a weighted layer; False where the weight is computed from data, or has no name."""
        reads = self.known(source)
        if reads is None or self.known(weight) is not None:
            return False
        called = self._names.get(id(weight)) or self._computed_name(weight)
        found = self.real(weight)
        if called is None or found is None:
            return False
        if called in self.weights and self.weights[called].shape != found.shape:
            called += ".T"
        self.weights.setdefault(called, found)
        return self.add(LayerStep, name, (reads,), results, weight=called, weight_shape=tuple(found.shape), **more)

    def _computed_name(self, weight: Tensor) -> str | None:
        """A name of its own for a weight that is computed from a parameter; None where it comes from none."""
        root = self._root(weight)
        if root is None:
            return None
        name = f"{root}{COMPUTED}"
        while name in self.weights:
            name = f"{root}.further{name.removeprefix(root)}"
        self._alive.append(weight)
        self._names[id(weight)] = name
        return name

    def transposed(self, weight: Tensor) -> Tensor:
        """A constant matrix transposed, which keeps its name."""
        made = weight.transpose(0, 1)
        if isinstance(made, FakeTensor):
            self._remember(torch.transpose, (weight, 0, 1), {}, made)
        if id(weight) in self._names:
            self._alive.append(made)
            self._names[id(made)] = self._names[id(weight)]
        return made

    def _root(self, tensor: Tensor) -> str | None:
        """The first parameter that a computed constant comes from."""
        recipe = self._recipes.get(id(tensor))
        for leaf in tree_leaves(recipe[1:]) if recipe is not None else ():
            if isinstance(leaf, Tensor):
                found = self._names.get(id(leaf)) or self._root(leaf)
                if found:
                    return found
        return None


def _seen_through(function: Callable[..., Any]) -> AbstractContextManager[Any]:
    """Within, torch's own Python function runs its code instead of handing itself to the mode again."""
    names = {name: _nothing_overridden for name in _OVERRIDES if name in getattr(function, "__globals__", {})}
    return mock.patch.dict(getattr(function, "__globals__", {}), names)


def _nothing_overridden(*_: object) -> bool:
    return False


def _nothing(like: Tensor) -> Tensor:
    """Labels of a constant: no channel anywhere."""
    with unset_fake_temporarily():
        return torch.zeros(like.shape, dtype=torch.float64)


def _leaf(function: Callable[..., Any], index: int, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
    found: Tensor = tree_leaves(function(*args, **kwargs))[index]
    return found
