"""Running sums of the loss and of metrics, kept on the device: a GPU is asked for a number only when one is reported.

The first step whose loss is not finite is noted there too, so that it can be named although it is looked up later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.training.metrics.task import Measure

_OWN = 2  # sums of the meter itself: the loss, and the samples


class Summing(Protocol):
    """Processes that add up tensors, as `DistributedContext` does."""

    def all_reduce(self, values: Tensor) -> Tensor:
        """The sum over all processes, on the CPU."""

    def all_gather(self, values: Tensor) -> list[Tensor]:
        """The values of every process, on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over `samples` samples: the loss, and every metric by name."""

    loss: float
    metrics: tuple[tuple[str, float], ...]
    samples: int


class Meter:
    """Sums over the samples since the last `reset`: loss times samples, samples, and those of `measure`."""

    def __init__(self, device: torch.device, measure: Measure) -> None:
        self._measure = measure
        self._own = torch.zeros(_OWN, dtype=torch.float64, device=device)
        self._measured: Tensor | None = None
        self._bad = torch.full((), -1, dtype=torch.int64, device=device)

    @torch.no_grad()
    def add(self, loss: Tensor, outputs: Any, targets: Any, *, samples: int, step: int = 0) -> None:  # noqa: ANN401
        """Take in one batch of `samples`: its mean loss, what the model returned, and the targets."""
        if loss.ndim:
            raise UsageError(
                f"the loss has shape {tuple(loss.shape)}; it must be one number, the mean over the samples"
            )
        self._own += torch.stack([loss.double() * samples, loss.new_tensor(samples, dtype=torch.float64)])
        found = self._measure.sums(outputs, targets).to(self._own.device)
        self._measured = found if self._measured is None else self._measured + found
        self._bad = torch.where((self._bad < 0) & ~torch.isfinite(loss), step, self._bad)

    def require_finite(self) -> None:
        """Return where every loss was finite; raises RunError that names the first step whose loss was not."""
        step = int(self._bad)
        if step >= 0:
            raise RunError(f"the loss of step {step:,} is not finite; a lower learning rate or clip_norm may help")

    @property
    def mean_loss(self) -> float:
        """The mean loss of this process since the last `reset`."""
        loss, count = self._own.tolist()
        return float(loss / max(count, 1))

    def total(self, processes: Summing) -> Tensor:
        """The sums over all processes (float64, on the CPU); all of them call it at the same point.

        A process that has seen no batch does not know how many sums the others have; it is told.
        """
        measured = self._own.new_zeros(0) if self._measured is None else self._measured
        lengths = processes.all_gather(torch.tensor([measured.numel()]))
        longest = max(int(length) for length in lengths)
        padded = self._own.new_zeros(longest)
        padded[: measured.numel()] = measured
        return processes.all_reduce(torch.cat([self._own, padded]))

    def reset(self, sums: Sequence[float] = ()) -> None:
        """Start anew, or from sums that `total` gave."""
        self._own.copy_(torch.tensor(sums[:_OWN] or (0.0,) * _OWN, dtype=torch.float64))
        rest = sums[_OWN:]
        self._measured = torch.tensor(rest, dtype=torch.float64, device=self._own.device) if rest else None

    def score(self, sums: Tensor) -> Score:
        """The means that `total` stands for. Raises UsageError where there was no sample."""
        loss, count = sums[:_OWN].tolist()
        if not count:
            raise UsageError("there is no sample to measure")
        metrics = self._measure.values(sums[_OWN:])
        return Score(loss=loss / count, metrics=tuple(metrics.items()), samples=int(count))
