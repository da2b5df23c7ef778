"""WeightUses: which parameters are multiplied with, and how often, counted where torch's functions are called.

This sees into leaves, whose weighted layers make no node of their own (the projections of an attention module, say),
and matrix products with a parameter, or with a part or a transpose of one. What is computed from a parameter first (a
standardized weight) is not a use of it. Neither is a table in which rows are looked up.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from n2nsurgery.graph.weight_layout import WeightLayout

_ATTENTION = inspect.signature(functional.multi_head_attention_forward)
_GROUPS = 6
"""Position of `groups` among the arguments of every convolution."""
_MATRIX, _STACK = 2, 3
_VIEWS = frozenset([
    "t", "T", "mT", "transpose", "permute", "movedim", "swapaxes", "view", "reshape", "unsqueeze", "squeeze", "flatten",
    "unflatten", "chunk", "split", "unbind", "__getitem__", "select", "narrow", "expand", "contiguous", "to", "type",
    "type_as", "float", "half", "bfloat16", "double", "detach", "data",
])  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Product:
    """How a parameter is multiplied with: where its outputs and inputs lie, and the groups of a convolution."""

    layout: WeightLayout
    groups: int = 1


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One call of a function of torch, and what it returned."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    def argument(self, index: int, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """The argument of this position and name."""
        return self.args[index] if len(self.args) > index else self.kwargs.get(name, default)

    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments, in order."""
        return [leaf for leaf in tree_leaves((self.args, self.kwargs)) if isinstance(leaf, Tensor)]


class WeightUses(TorchFunctionMode):
    """While entered, counts in `uses` the multiply-accumulates of one weight of each parameter, for the whole batch.

    `products` holds how each of them is multiplied with, `tables` the parameters in which rows are looked up. `views`:
    the parameters by the tensors that are views of them; give it to the next one to follow them further.
    `without_data`: gives what is multiplied with in place of a parameter, a tensor of its shape and type. Torch
    remembers the shapes of results where no argument has data, and works them out anew each time where one has.
    """

    def __init__(
        self,
        views: WeakTensorKeyDictionary | None = None,
        without_data: Callable[[nn.Parameter], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._without_data = without_data
        self.uses: Counter[nn.Parameter] = Counter()
        self.products: dict[nn.Parameter, Product] = {}
        self.tables: set[nn.Parameter] = set()
        self._views = WeakTensorKeyDictionary() if views is None else views

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        name = func.__self__.__name__ if name == "__get__" else name  # a property, as `Tensor.T` is one
        given = (args, kwargs)
        if name in _COUNTED and self._without_data is not None:
            given = tree_map_only(nn.Parameter, self._without_data, given)
        result = func(*given[0], **given[1])
        if name in _COUNTED:
            _COUNTED[name](self, _Call(args=args, kwargs=kwargs, result=result))
        elif name in _VIEWS:
            self._remember(name, args, result)
        return result

    def _remember(self, name: str, args: Any, result: Any) -> None:  # noqa: ANN401
        """That `result` is a view of a parameter; rows that are looked up by a tensor are none."""
        source = self._parameter(args[0]) if args else None
        looked_up = name == "__getitem__" and any(isinstance(i, Tensor) and i.dim() for i in tree_leaves(args[1]))
        if source is not None and not looked_up:
            for view in tree_leaves(result):
                if isinstance(view, Tensor) and not isinstance(view, nn.Parameter):
                    self._views[view] = source

    def _parameter(self, tensor: object) -> nn.Parameter | None:
        """The parameter that `tensor` is, or is a view of."""
        if not isinstance(tensor, Tensor):
            return None
        if isinstance(tensor, nn.Parameter):
            return tensor
        if tensor not in self._views:
            return None
        found: nn.Parameter = self._views[tensor]
        return found

    def attention(self, call: _Call) -> None:
        """The projections of `multi_head_attention_forward`."""
        given = _ATTENTION.bind(*call.args, **call.kwargs).arguments
        queries, keys, values = (prod(given[name].shape[:-1]) for name in ("query", "key", "value"))
        uses = {"q_proj_weight": queries, "k_proj_weight": keys, "v_proj_weight": values, "out_proj_weight": queries}
        for name, count in {**uses, "in_proj_weight": (queries + keys + values) // 3}.items():
            self._count(given.get(name), count, Product(layout="linear"))

    def convolution(self, call: _Call) -> None:
        """A convolution."""
        self._convolve(call, "conv", call.result)

    def transposed_convolution(self, call: _Call) -> None:
        """A transposed convolution."""
        self._convolve(call, "conv_transpose", call.argument(0, "input"))

    def _convolve(self, call: _Call, layout: WeightLayout, positions: Tensor) -> None:
        weight = call.argument(1, "weight")
        rank, shape = weight.dim() - 2, positions.shape
        product = Product(layout=layout, groups=call.argument(_GROUPS, "groups", 1))
        self._count(weight, prod(shape[: -rank - 1]) * prod(shape[len(shape) - rank :]), product)

    def linear(self, call: _Call) -> None:
        """`F.linear`."""
        self._multiply(call.argument(1, "weight"), -1, -2, call.result)

    def product(self, call: _Call, first: int = 0) -> None:
        """A matrix product of the tensors `first` and `first + 1`.

        That of two parameters is not a use of either: what it makes is a weight, as of a low-rank adapter.
        """
        left, right = call.tensors()[first : first + 2]
        if self._parameter(left) is not None and self._parameter(right) is not None:
            return
        self._multiply(left, -1, -2, call.result)
        self._multiply(right, -2, -1, call.result)

    def _multiply(self, weight: Tensor, inputs: int, outputs: int, result: Tensor) -> None:
        """Count a matrix whose axes `inputs` and `outputs` are these, or a stack of such matrices."""
        source = self._parameter(weight)
        if source is None or weight.dim() < _MATRIX:
            return
        layout = _layout(source, weight.stride(inputs), weight.stride(outputs))
        self._count(source, result.numel() * weight.shape[inputs] // max(1, source.numel()), Product(layout=layout))

    def einsum(self, call: _Call) -> None:
        """`torch.einsum` with a parameter among its operands; one with an ellipsis is not looked at."""
        equation = call.args[0].replace(" ", "") if isinstance(call.args[0], str) else ""
        operands = call.tensors()
        read, _, written = equation.partition("->")
        written = written or "".join(letter for letter in read if read.count(letter) == 1)
        for term, operand in zip(read.split(","), operands, strict=False):
            source = self._parameter(operand)
            if source is None or len(term) != operand.dim():  # no parameter, or one with "..."
                continue
            axes = list(zip(term, operand.stride(), operand.shape, strict=True))
            inputs = [stride for letter, stride, _ in axes if letter not in written]
            outputs = [stride for letter, stride, _ in axes if letter in written]
            if inputs and outputs:
                macs = call.result.numel() * prod(size for letter, _, size in axes if letter not in written)
                apart = _kinds(term, operand, read, written) if operand.dim() == source.dim() else ""
                layout = _by_axes(apart) or _layout(source, min(inputs), min(outputs))
                self._count(source, macs // max(1, source.numel()), Product(layout=layout))

    def bilinear(self, call: _Call) -> None:
        """`F.bilinear`: one output channel for each slice of its weight."""
        self._count(call.argument(2, "weight"), prod(call.result.shape[:-1]), Product(layout="conv"))

    def recurrent(self, call: _Call) -> None:
        """The matrices of a recurrent layer, at every position of the sequence."""
        for weight in tree_leaves(call.args):
            self._count(weight, prod(call.args[0].shape[:-1]), Product(layout="linear"))

    def lookup(self, call: _Call) -> None:
        """A table in which rows are looked up."""
        table = self._parameter(call.argument(1, "weight"))
        if table is not None:
            self.tables.add(table)

    def _count(self, weight: object, uses: int, product: Product) -> None:
        source = self._parameter(weight)
        if source is not None and source.dim() >= _MATRIX:
            self.uses[source] += uses
            self.products.setdefault(source, product)


def _kinds(term: str, operand: Tensor, read: str, written: str) -> str:
    """What the axes of a parameter are in an einsum, as they lie in memory: i(nput), o(utput), or both in a b(atch)."""
    in_memory = sorted(zip(operand.stride(), range(len(term)), term, strict=True), key=lambda axis: (-axis[0], axis[1]))
    letters = [letter for _, _, letter in in_memory]
    return "".join("i" if each not in written else "b" if read.count(each) > 1 else "o" for each in letters)


def _by_axes(kinds: str) -> WeightLayout | None:
    """The layout of three and more axes, each an input or an output; None for fewer, for stacks and for mixed ones."""
    if len(kinds) <= _MATRIX:
        return None
    if re.fullmatch("oi+", kinds):
        return "conv"  # whose taps are inputs, too
    if re.fullmatch("o+i", kinds):
        return "linear"
    if re.fullmatch("i+o", kinds):
        return "matrix"
    return "input_first" if re.fullmatch("io+", kinds) else None


def _layout(source: nn.Parameter, inputs: int, outputs: int) -> WeightLayout:
    """Which axis of a parameter comes last: that of the inputs (as nn.Linear has it) or that of the outputs."""
    if source.dim() > _STACK:
        return "conv"
    last = inputs <= outputs
    if source.dim() == _STACK:
        return "linear_stack" if last else "matrix_stack"
    return "linear" if last else "matrix"


_COUNTED: dict[str, Callable[[WeightUses, _Call], None]] = {
    "multi_head_attention_forward": WeightUses.attention,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), WeightUses.convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), WeightUses.transposed_convolution),
    "linear": WeightUses.linear,
    **dict.fromkeys(("matmul", "__matmul__", "mm", "bmm", "_grouped_mm", "grouped_mm"), WeightUses.product),
    **dict.fromkeys(("addmm", "baddbmm"), partial(WeightUses.product, first=1)),
    "einsum": WeightUses.einsum,
    "bilinear": WeightUses.bilinear,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), WeightUses.recurrent),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), WeightUses.recurrent),
    **dict.fromkeys(("embedding", "embedding_bag"), WeightUses.lookup),
}
