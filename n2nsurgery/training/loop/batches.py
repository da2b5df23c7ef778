"""What a run is fed: batches that are a pure function of epoch and position, so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, Protocol

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import map_tensors
from n2nsurgery.data.torch_data.sample_randomness import generators_restored
from n2nsurgery.training.engine.choice import EngineRequest
from n2nsurgery.training.state.saved_state import Position

Pair = tuple[Any, Any]
"""Inputs and targets, samples first: a tensor each, or tuples, lists or dicts of tensors.

Inputs are what the model is called with: a tuple or list by position, a dict by name. Targets are what the loss takes.
"""

Mixing = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""Inputs, targets and a generator of this batch alone -> mixed inputs and targets (mixup, cutmix), on the device."""


class Batches(Protocol):
    """Batches of one process; in an epoch of training all have equally many, of equal sizes but for the last."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Pair]:
        """The batches of epoch `number` from position `start` on, the same whenever they are asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainData:
    """What a run is fed: batches of training, of every split that is evaluated, and how training batches are mixed.

    Checkpoints are ranked by the split called `validation`.
    """

    train: Batches
    evaluations: Mapping[str, Batches] = field(default_factory=dict)
    mixing: Mixing | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a split without a batch."""
        for name, batches in {"train": self.train, **self.evaluations}.items():
            if not len(batches):
                raise UsageError(f"the {name} split has no batch; it needs at least as many samples as one batch")


def with_inputs(
    request: EngineRequest, batches: Batches, position: Position
) -> tuple[EngineRequest, Iterator[Pair] | None]:
    """`request` with the inputs of the batch at `position`; and the batches of that epoch from it on, it among them.

    None where the epoch has no batch left. One that is drawn from the global generators leaves no trace in them.
    """
    if position.batch >= len(batches):
        return request, None
    with generators_restored():
        rest = batches.epoch(position.epoch, position.batch)
        first = next(rest, None)
    if first is None:
        return request, None
    inputs = placed_inputs(first[0], request.processes.device, channels_last=request.config.channels_last)
    return replace(request, example=inputs), chain([first], rest)


def placed_inputs(inputs: Any, device: torch.device, *, channels_last: bool) -> Any:  # noqa: ANN401
    """`inputs` on `device`; images (N, C, H, W) channels last where asked."""

    def placed(tensor: torch.Tensor) -> torch.Tensor:
        images = channels_last and tensor.ndim == 4  # noqa: PLR2004 - N, C, H, W
        layout = torch.channels_last if images else torch.preserve_format
        return tensor.to(device, non_blocking=True, memory_format=layout)

    return map_tensors(inputs, placed)


def placed_targets(targets: Any, device: torch.device) -> Any:  # noqa: ANN401
    """`targets` on `device`."""
    return map_tensors(targets, lambda tensor: tensor.to(device, non_blocking=True))


def grouped(batches: Iterator[Pair], size: int) -> Iterator[list[Pair]]:
    """`size` batches at a time, the last group smaller where they do not come out even."""
    while group := list(islice(batches, size)):
        yield group
