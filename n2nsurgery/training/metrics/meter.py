"""Running sums of the loss and of metrics, kept on the device: a GPU is asked for a number only when one is reported.

The first step whose loss is not finite is noted there too, so that it can be named although it is looked up later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.training.metrics.measure import LOSS, Measure

_OWN = 3  # sums of the meter itself: the loss times its weight, the samples, and the weights


class Summing(Protocol):
    """Processes that add up tensors, as `DistributedContext` does."""

    def all_reduce(self, values: Tensor) -> Tensor:
        """The sum over all processes, on the CPU."""

    def all_gather(self, values: Tensor) -> list[Tensor]:
        """The values of every process, on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over `samples` samples: the loss, NaN where no label counts, and every metric by name."""

    loss: float
    metrics: tuple[tuple[str, float], ...]
    samples: int


class Meter:
    """Sums over the batches since the last `reset`: loss times weight, samples, weights, and those of each metric."""

    def __init__(self, device: torch.device, measure: Measure) -> None:
        self._measure = measure
        self._own = torch.zeros(_OWN, dtype=torch.float64, device=device)
        self._measured: dict[str, Tensor] = {}
        self._bad = torch.full((), -1, dtype=torch.int64, device=device)

    @torch.no_grad()
    def add(  # noqa: PLR0913 - what is known of a batch
        self,
        loss: Tensor,
        outputs: Any,  # noqa: ANN401
        targets: Any,  # noqa: ANN401
        *,
        samples: int,
        weight: Tensor | None = None,
        step: int = 0,
    ) -> None:
        """Take in one batch of `samples`: its mean loss, what the model returned, and the targets.

        `weight`: how much the loss counts, as `Components.weight` says; None for the samples.
        """
        if not isinstance(loss, Tensor):
            raise UsageError(f"the loss is a {type(loss).__name__}; it must be a tensor of one number")
        if loss.ndim:
            raise UsageError(
                f"the loss has shape {tuple(loss.shape)}; it must be one number, the mean over the samples"
            )
        counted = torch.tensor(samples, dtype=torch.float64)
        share = (counted if weight is None else weight).to(self._own.device)
        self._own += torch.stack([loss.double() * share, counted.to(self._own.device), share])
        for name, found in self._measure.sums(outputs, targets).items():
            known = self._measured.get(name)
            self._measured[name] = found.to(self._own.device) if known is None else known + found.to(known.device)
        self._bad = torch.where((self._bad < 0) & ~torch.isfinite(loss), step, self._bad)

    def require_finite(self) -> None:
        """Return where every loss was finite; raises RunError that names the first step whose loss was not."""
        step = int(self._bad)
        if step >= 0:
            raise RunError(f"the loss of step {step:,} is not finite; a lower learning rate or clip_norm may help")

    @property
    def mean_loss(self) -> float:
        """The mean loss of this process since the last `reset`; NaN where no label counted."""
        loss, _, weight = self._own.tolist()
        return float(loss / weight) if weight else float("nan")

    def total(self, processes: Summing) -> dict[str, Tensor]:
        """The sums over all processes by name (float64, on the CPU); all of them call it at the same point.

        A process that has seen no batch does not know how many sums a metric has; the others tell.
        """
        own = [self._measured.get(name, self._own.new_zeros(0)) for name in self._measure.metrics]
        lengths = processes.all_gather(torch.tensor([_OWN, *map(len, own)]))
        longest = torch.stack(lengths).amax(0).tolist()
        values = zip((self._own, *own), longest, strict=True)
        padded = [functional.pad(sums, (0, length - len(sums))) for sums, length in values]
        total = processes.all_reduce(torch.cat(padded))
        ends = list(accumulate(longest))
        parts = [total[end - length : end] for end, length in zip(ends, longest, strict=True)]
        return dict(zip((LOSS, *self._measure.metrics), parts, strict=True))

    def reset(self, sums: Mapping[str, Sequence[float]] | None = None) -> None:
        """Start anew, or from sums that `total` gave; earlier versions had no weights, and every sample counted."""
        given = sums if sums is not None else {LOSS: (0.0,) * _OWN}
        found = {name: torch.tensor(values, dtype=torch.float64) for name, values in given.items()}
        own = found.pop(LOSS)
        self._own.copy_(own if len(own) == _OWN else torch.cat([own, own[1:]]))
        self._measured = {name: values.to(self._own.device) for name, values in found.items() if values.numel()}

    def score(self, sums: Mapping[str, Tensor]) -> Score:
        """The means that `total` stands for. Raises UsageError where there was no sample."""
        loss, count, weight = sums[LOSS].tolist()
        if not count:
            raise UsageError("there is no sample to evaluate on")
        mean = loss / weight if weight else float("nan")
        return Score(loss=mean, metrics=self._measure.values(sums), samples=int(count))
