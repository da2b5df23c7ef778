"""ValueProxy: a value of the traced code, known at both batch sizes.

A fact (a Python scalar or string, or a tuple of them, equal at both batch sizes) is answered as itself, so that shape
arithmetic and control flow run as in eager mode. What differs stays symbolic, and a question that only a number could
answer is refused.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import fx
from torch.fx.proxy import TraceError as FxTraceError
from torch.fx.proxy import TracerBase

IN_PLACE_OPERATORS = ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor")
_isinstance = isinstance
_LIMITS = (torch.finfo, torch.iinfo)  # by their classes, for a tracer replaces the names while it traces


@contextmanager
def instances_by_value() -> Iterator[None]:
    """Within, a proxy is an instance of its value's class, too, as far as Python code asks.

    A `__class__` of the proxy's own would not do: torch's C++ code asks for it and then reads the proxy as a tensor.
    """
    with mock.patch.object(builtins, "isinstance", _is_instance):
        yield


def _is_instance(value: Any, kind: Any) -> bool:  # noqa: ANN401 - as the built-in function
    if _isinstance(value, kind):
        return True
    return issubclass(type(value), ValueProxy) and _isinstance(value.known[0], kind)


def is_fact(first: Any, second: Any) -> bool:  # noqa: ANN401 - any Python value
    """Whether both are one and the same plain Python value, nested in tuples or lists at most."""
    return _is_plain(first) and _is_plain(second) and bool(first == second)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return isinstance(value, int | float | str | type(None))


class ValueProxy(fx.Proxy):
    """A proxy that knows its value at both batch sizes: `known`."""

    def __init__(self, node: fx.Node, tracer: TracerBase, values: tuple[Any, Any]) -> None:
        super().__init__(node, tracer)
        self.known = values

    @property
    def shape(self) -> Any:  # noqa: ANN401 - torch.Size, or a tuple with proxies
        """The shape; dimensions that follow the batch are proxies."""
        first, second = self._shapes()
        return first if first == second else tuple(self.size(dim) for dim in range(len(first)))

    def size(self, dim: int | None = None) -> Any:  # noqa: ANN401
        """As `Tensor.size`."""
        if dim is None:
            return self.shape
        first, second = self._shapes()
        if first[dim] == second[dim]:
            return first[dim]
        return self.tracer.create_proxy("call_method", "size", (self, dim), {})

    def _shapes(self) -> tuple[torch.Size, torch.Size]:
        first, second = self.known
        if not isinstance(first, torch.Tensor):
            raise FxTraceError(f"shape of a {type(first).__name__}")
        if first.dim() != second.dim():
            raise FxTraceError("a rank that depends on the batch size")
        return first.shape, second.shape

    def dim(self) -> int:
        """As `Tensor.dim`."""
        return int(self.known[0].dim())

    ndimension = dim

    @property
    def ndim(self) -> int:
        """As `Tensor.ndim`."""
        return self.dim()

    def stride(self, dim: int | None = None) -> Any:  # noqa: ANN401
        """As `Tensor.stride`, where it does not depend on the batch."""
        first, second = (value.stride() if dim is None else value.stride(dim) for value in self.known)
        if first != second:
            raise FxTraceError("the code asks for a stride that depends on the batch size")
        return first

    def keys(self) -> Any:  # noqa: ANN401
        """Keys of a dictionary value."""
        return self.known[0].keys() if isinstance(self.known[0], dict) else super().keys()

    def _entries(self) -> dict[Any, Any]:
        """The entries of a dictionary value, as proxies."""
        return {key: operator.getitem(self, key) for key in self.known[0]}

    def __len__(self) -> int:
        first, second = self.known
        if isinstance(first, torch.Tensor | tuple | list | dict) and len(first) == len(second):
            return len(first)
        raise FxTraceError("len() of a dimension that depends on the batch size")

    def __iter__(self) -> Iterator[Any]:
        """Over tuples, over the keys of dictionaries, and over tensors along a dimension that is not the batch."""
        if isinstance(self.known[0], dict):
            return iter(self.known[0])
        return iter([operator.getitem(self, index) for index in range(len(self))])

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401 - whatever a tensor takes
        self.tracer.create_proxy("call_function", operator.setitem, (self, key, value), {})

    def __bool__(self) -> bool:
        """Control flow is followed on facts only."""
        first, second = self.known
        if isinstance(first, torch.Tensor):
            raise FxTraceError("control flow on the content of a tensor")
        if bool(first) != bool(second):
            raise FxTraceError("control flow that depends on the batch size")
        return bool(first)

    def _number(self, asked: str) -> Any:  # noqa: ANN401
        first, second = self.known
        if isinstance(first, int | float) and first == second:
            return first
        raise FxTraceError(f"{asked} of a value that depends on the batch or on data")

    def __index__(self) -> int:
        return int(self._number("index()"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __float__(self) -> float:
        return float(self._number("float()"))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        values = self.__dict__["known"]
        if isinstance(values[0], dict) and name in {"values", "items"}:
            return getattr(self._entries(), name)
        first, second = (getattr(value, name) for value in values)
        # The limits of a number type change with `module.to(dtype)`, they are not facts about the model.
        if is_fact(first, second) and not isinstance(values[0], _LIMITS):
            return first
        return ValueAttribute(self, name, (first, second))


def _define_in_place(name: str) -> None:
    """Record `x += y` as the operation in place that it is: Python would make it `x = x + y`, unseen by other names."""
    function = getattr(operator, name)

    def method(self: ValueProxy, other: Any) -> Any:  # noqa: ANN401 - whatever a tensor takes
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    setattr(ValueProxy, f"__{name}__", method)


for _operator in IN_PLACE_OPERATORS:
    _define_in_place(_operator)


class ValueAttribute(ValueProxy):
    """`proxy.name`: becomes a node only when it is used as a value; called, it is a method call."""

    def __init__(self, root: ValueProxy, name: str, values: tuple[Any, Any]) -> None:
        self.root = root
        self.attribute = name
        self.tracer = root.tracer
        self.known = values
        self._node: fx.Node | None = None

    @property
    def node(self) -> fx.Node:  # type: ignore[override] # as in fx's own Attribute
        """The `getattr` node, made when first asked for."""
        if self._node is None:
            proxy: Any = self.tracer.create_proxy("call_function", getattr, (self.root, self.attribute), {})
            self._node, self.known = proxy.node, proxy.known
        return self._node

    def as_value(self, index: int) -> Any:  # noqa: ANN401
        """What the node is at one of the batch sizes."""
        return self.node.meta["values"][index]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """The method call `root.name(*args)`."""
        return self.tracer.create_proxy("call_method", self.attribute, (self.root, *args), kwargs)
