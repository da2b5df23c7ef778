"""The state of a torch scheduler, and the hyper-parameters that it moves, as named tensors: nothing to unpickle.

A scheduler's `state_dict` holds numbers, lists of numbers, and the same of schedulers inside of it; what else it holds
(functions, counters of milestones) does not change in training and is there once the scheduler is made anew. Numbers
become tensors of one value, int64, float64 or bool, so that they come back to the bit and of their own type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from n2nsurgery.core.errors import InvalidFileError

_TYPES = {bool: torch.bool, int: torch.int64, float: torch.float64}


def scheduler_state(scheduler: LRScheduler | None, optimizer: Optimizer) -> dict[str, Tensor]:
    """`scheduler/<path>` and `group/<number>/<name>` -> the number or numbers there."""
    state: dict[str, Tensor] = {}
    if scheduler is not None:
        state |= dict(_numbers(scheduler.state_dict(), "scheduler"))
    for number, group in enumerate(optimizer.param_groups):
        others = {name: value for name, value in group.items() if name != "params"}
        state |= dict(_numbers(others, f"group/{number}"))
    return state


def load_scheduler_state(saved: Mapping[str, Tensor], scheduler: LRScheduler | None, optimizer: Optimizer) -> None:
    """Put back what `scheduler_state` gave; raises InvalidFileError where it is that of another scheduler."""
    now = scheduler_state(scheduler, optimizer)
    if missing := sorted(now.keys() - saved.keys()):
        raise InvalidFileError(f"the checkpoint holds the state of another scheduler or optimizer: no '{missing[0]}'")
    if scheduler is not None:
        scheduler.load_state_dict(_with(scheduler.state_dict(), saved, "scheduler"))
    for number, group in enumerate(optimizer.param_groups):
        others = {name: value for name, value in group.items() if name != "params"}
        group.update(_with(others, saved, f"group/{number}"))


def _numbers(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401 - what a state_dict holds
    if type(value) in _TYPES:
        yield path, torch.tensor(value, dtype=_TYPES[type(value)])
    elif isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, dict) and all(isinstance(key, str) for key in value):
        for key, item in value.items():
            yield from _numbers(item, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{path}/{index}")


def _with(value: Any, saved: Mapping[str, Tensor], path: str) -> Any:  # noqa: ANN401
    """`value` with the saved number wherever it has one."""
    if type(value) in _TYPES:
        return saved[path].item()
    if isinstance(value, Tensor):
        return saved[path].to(value.device)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return type(value)({key: _with(item, saved, f"{path}/{key}") for key, item in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_with(item, saved, f"{path}/{index}") for index, item in enumerate(value))
    return value
