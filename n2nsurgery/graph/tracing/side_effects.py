"""What running a model's code leaves behind: seen, and undone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_CONTAINERS = (list, dict, set)
_LARGE = 1 << 30  # bytes; a copy of less is made sooner than every operation is looked at


@contextmanager
def unchanged(root: nn.Module) -> Iterator[None]:
    """Within, the modules below `root` may run; at the end their attributes and buffers are as before.

    A norm counts its batches, and a module may keep what it computed last.
    """
    attributes = [vars(module) for module in root.modules()]
    containers = [*attributes, *(v for names in attributes for v in names.values() if isinstance(v, _CONTAINERS))]
    contents = [(container, container.copy()) for container in containers]
    buffers = [(buffer, buffer.clone()) for buffer in root.buffers()]
    try:
        yield
    finally:
        for container, content in contents:
            if _same(container, content):  # some refuse to be changed, as a frozen dict does
                continue
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


@contextmanager
def weights_unchanged(root: nn.Module) -> Iterator[None]:
    """Within, code may write to the parameters below `root`, as momentum encoders do; at the end they are as before.

    Small models are copied before. Of large ones, what is about to be written to.
    """
    parameters = list(root.parameters())
    if sum(parameter.nbytes for parameter in parameters) < _LARGE:
        copies = [(parameter, parameter.detach().clone()) for parameter in parameters]
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in copies:
                    parameter.copy_(value)
        return
    before = [(parameter, parameter.data) for parameter in parameters]
    writes = _FirstWrites(parameters)
    try:
        with writes:
            yield
    finally:
        for parameter, data in before:
            if parameter.data_ptr() != data.data_ptr():  # other memory was put in its place
                parameter.data = data
        writes.undo()


class _FirstWrites(TorchDispatchMode):
    """Copies every one of the given tensors before the first operation that writes to its memory."""

    supports_higher_order_operators = True  # they write to nothing

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watched: dict[int, list[Tensor]] = {}
        for tensor in tensors:
            self._watched.setdefault(_memory(tensor), []).append(tensor.data)
        self._copies: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        _types: Any,  # noqa: ANN401
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run the operation."""
        schema = getattr(func, "_schema", None)
        if schema is not None and schema.is_mutable:
            given = {argument.name: value for argument, value in zip(schema.arguments, args, strict=False)}
            given |= kwargs or {}
            written = [each.name for each in schema.arguments if each.alias_info and each.alias_info.is_write]
            for value in (given[name] for name in written if name in given):
                for tensor in value if isinstance(value, list | tuple) else (value,):
                    self._copy(tensor)
        return func(*args, **(kwargs or {}))

    def _copy(self, written: Any) -> None:  # noqa: ANN401
        if isinstance(written, Tensor):
            found = self._watched.pop(_memory(written), [])
            self._copies += [(tensor, tensor.clone()) for tensor in found]

    def undo(self) -> None:
        """Take back what was written."""
        for tensor, value in self._copies:
            tensor.copy_(value)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _same(container: Any, content: Any) -> bool:  # noqa: ANN401 - a list, dict or set
    """Whether both hold the very same objects; their `==` may compare tensors."""
    if isinstance(container, dict):
        return _same(list(container), list(content)) and _same(list(container.values()), list(content.values()))
    return len(container) == len(content) and all(a is b for a, b in zip(container, content, strict=True))


def drawn() -> tuple[object, ...]:
    """The states of the global random generators: equal as long as nothing was drawn."""
    of_numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002 - the generator that models draw from
    return random.getstate(), of_numpy["key"].tobytes(), of_numpy["pos"], torch.get_rng_state().numpy().tobytes()


@contextmanager
def draws_undone() -> Iterator[None]:
    """Within, numbers may be drawn from the global generators; at the end those are as before."""
    python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        torch.set_rng_state(of_torch)
