"""What running a model's code leaves behind: seen, and undone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

_CONTAINERS = (list, dict, set)


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
