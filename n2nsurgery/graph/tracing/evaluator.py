"""Evaluates the calls of traced code at both batch sizes, on tensors that have shapes and types but no data."""

from __future__ import annotations

import functools
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from n2nsurgery.graph.tracing.batch import BATCH_SIZES, per_sample
from n2nsurgery.graph.tracing.leaves import NORM_MODULES
from n2nsurgery.graph.tracing.side_effects import draws_undone
from n2nsurgery.graph.tracing.weight_uses import Product, WeightUses

Arguments = tuple[tuple[Any, Any], tuple[Any, Any]]  # (args, kwargs) at the two batch sizes


@dataclass(frozen=True, kw_only=True)
class ValuePair:
    """What an expression is at both batch sizes, and which storages of the first its evaluation wrote into."""

    values: tuple[Any, Any]
    overwrites: frozenset[int] = frozenset()


def storage_of(tensor: torch.Tensor) -> int:
    """The identity of a tensor's memory, as long as one of its tensors lives; views share it."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - the only identity a storage has


class Evaluator:
    """Evaluates calls; while it is `active`, nothing is to be traced."""

    def __init__(self) -> None:
        self.active = False
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._uses: tuple[Counter[nn.Parameter], Counter[nn.Parameter]] = (Counter(), Counter())
        self._products: dict[nn.Parameter, Product] = {}
        self._tables: set[nn.Parameter] = set()
        self._views = WeakTensorKeyDictionary()

    def weight_uses(self, root: nn.Module) -> dict[str, int]:
        """By parameter name, the multiply-accumulates of one of its weights for one sample, in all calls so far."""
        first, second = self._uses
        return {n: per_sample(first[p], second[p]) for n, p in root.named_parameters() if p in first}

    def products(self, root: nn.Module) -> dict[str, Product]:
        """By parameter name, how the parameters were multiplied with, in all calls so far."""
        return {name: self._products[p] for name, p in root.named_parameters() if p in self._products}

    def tables(self, root: nn.Module) -> frozenset[str]:
        """Names of the parameters in which rows were looked up."""
        return frozenset(name for name, p in root.named_parameters() if p in self._tables)

    def inputs(self, example: Any, samples: int | None = None) -> ValuePair:  # noqa: ANN401 - whatever the model takes
        """An example input at both batch sizes; what is not a tensor stays as it is.

        `samples`: a tensor with another first dimension has no batch, and keeps its shape; None: every tensor has one.
        """
        with self._fake:
            first, second = (
                tree_map_only(torch.Tensor, functools.partial(_resized, batch, samples), example)
                for batch in BATCH_SIZES
            )
        return ValuePair(values=(first, second))

    def call(self, function: Callable[..., Any], arguments: Arguments) -> ValuePair:
        """What `function` returns for the arguments at the first and at the second batch size."""
        with self._evaluation():
            return self._run(function, arguments, self._fake.from_tensor)

    def call_on_data(self, module: nn.Module, arguments: Arguments) -> ValuePair:
        """As `call`, for a module that reads its data: evaluated on zeros first, on ones second.

        What depends on the data then differs between the two like what depends on the batch, and is not a fact either.
        """
        fakes: dict[int, FakeTensor] = {}

        def data(number: int, fake: FakeTensor) -> torch.Tensor:
            real = torch.full(fake.shape, number, dtype=fake.dtype, device=fake.device)
            fakes[storage_of(real)] = fake
            return real

        def without_data(real: torch.Tensor) -> torch.Tensor:
            argument = fakes.get(storage_of(real))
            if argument is not None and argument.shape == real.shape:
                return argument
            return self._fake.from_tensor(real)

        given = [tree_map_only(FakeTensor, functools.partial(data, n), pair) for n, pair in enumerate(arguments)]
        with self._evaluation():
            with unset_fake_temporarily():
                found = self._run(module, (given[0], given[1]), None)
            first, second = tree_map_only(torch.Tensor, without_data, found.values)
        overwrites = frozenset(storage_of(fakes[storage]) for storage in found.overwrites & fakes.keys())
        return ValuePair(values=(first, second), overwrites=overwrites)

    def _run(
        self,
        function: Callable[..., Any],
        arguments: Arguments,
        without_data: Callable[[nn.Parameter], torch.Tensor] | None,
    ) -> ValuePair:
        results: list[Any] = []
        written: set[int] = set()
        for uses, (args, kwargs) in zip(self._uses, arguments, strict=True):
            if isinstance(function, NORM_MODULES) and args and isinstance(args[0], torch.Tensor):
                # It keeps shape and type; evaluating it would cost more than all the rest of a trace.
                results.append(torch.empty_like(args[0]))
                continue
            tensors = _tensors((args, kwargs))
            versions = [_version(tensor) for tensor in tensors]
            with WeightUses(self._views, without_data) as counted:
                results.append(function(*args, **kwargs))
            uses.update(counted.uses)
            self._products |= counted.products
            self._tables |= counted.tables
            written |= {i for i, tensor in enumerate(tensors) if _version(tensor) != versions[i]}
        of_first = _tensors(arguments[0])
        overwrites = frozenset(storage_of(of_first[index]) for index in written)
        return ValuePair(values=(results[0], results[1]), overwrites=overwrites)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Within, nothing is traced."""
        nested, self.active = self.active, True
        try:
            yield
        finally:
            self.active = nested

    @contextmanager
    def _evaluation(self) -> Iterator[None]:
        with self.apart(), draws_undone(), _unlogged(), self._fake, torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


@contextmanager
def _unlogged() -> Iterator[None]:
    """Within, torch does not log the traceback of a call that fails: the error that is raised says it all."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled


def _tensors(arguments: tuple[Any, Any]) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, torch.Tensor)]


def _version(tensor: torch.Tensor) -> int:
    """Counts the in-place operations on a tensor and its views."""
    return tensor._version  # noqa: SLF001 - documented, and the only way to see a mutation


def _resized(batch: int, samples: int | None, tensor: torch.Tensor) -> torch.Tensor:
    batched = tensor.dim() and samples in {None, tensor.shape[0]}
    shape = (batch, *tensor.shape[1:]) if batched else tensor.shape
    return torch.empty(shape, dtype=tensor.dtype, device=tensor.device)
