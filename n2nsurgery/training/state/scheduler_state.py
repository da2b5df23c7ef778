"""The state of a torch scheduler, and the numbers of parameter groups, as named tensors: nothing to unpickle.

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

NUMBERS = {bool: torch.bool, int: torch.int64, float: torch.float64}


def scheduler_state(scheduler: LRScheduler, optimizer: Optimizer) -> dict[str, Tensor]:
    """`scheduler/<path>` and `group/<number>/<name>` -> the number or numbers there."""
    return dict(_numbers(scheduler.state_dict(), "scheduler")) | group_state(optimizer)


def load_scheduler_state(saved: Mapping[str, Tensor], scheduler: LRScheduler, optimizer: Optimizer) -> None:
    """Put back what `scheduler_state` gave; raises InvalidFileError where it is that of another scheduler."""
    now = scheduler_state(scheduler, optimizer)
    if missing := sorted(now.keys() - saved.keys()):
        raise InvalidFileError(f"the checkpoint holds the state of another scheduler or optimizer: no '{missing[0]}'")
    scheduler.load_state_dict(_with(scheduler.state_dict(), saved, "scheduler"))
    load_group_state(saved, optimizer)


def group_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """`group/<number>/<name>` -> the number or numbers that the parameter group has there now."""
    state: dict[str, Tensor] = {}
    for number, group in enumerate(optimizer.param_groups):
        others = {name: value for name, value in group.items() if name != "params"}
        state |= {path: value.clone() for path, value in _numbers(others, f"group/{number}")}
    return state


def load_group_state(saved: Mapping[str, Tensor], optimizer: Optimizer) -> None:
    """Put back what is `saved` of what `group_state` gave, also what the optimizer has only after its first step."""
    known = group_state(optimizer)
    for number, group in enumerate(optimizer.param_groups):
        path = f"group/{number}"
        others = {name: value for name, value in group.items() if name != "params"}
        group.update(_with(others, {**known, **saved}, path))
        later = {name.removeprefix(f"{path}/"): value for name, value in saved.items() if name.startswith(f"{path}/")}
        group.update({name: _one(value) for name, value in later.items() if "/" not in name and name not in others})


def _one(value: Tensor) -> Any:  # noqa: ANN401
    """The number that `value` was made of, or itself where that was a tensor."""
    return value.item() if not value.ndim and value.dtype in NUMBERS.values() else value


def _numbers(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401 - what a state_dict holds
    if type(value) in NUMBERS:
        yield path, torch.tensor(value, dtype=NUMBERS[type(value)])
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
    if type(value) in NUMBERS:
        return saved[path].item()
    if isinstance(value, Tensor):
        return saved[path].to(value.device)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return type(value)({key: _with(item, saved, f"{path}/{key}") for key, item in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_with(item, saved, f"{path}/{index}") for index, item in enumerate(value))
    return value
