"""What training knows of a sparse twin, and of who makes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor, nn


class SparseTwin(Protocol):
    """A module that is trained in place of another, which it shares all parameters with but the sparse weights."""

    @property
    def module(self) -> nn.Module:
        """What is trained; its sparse layers are `KeptValues`."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Those that are computed sparsely, by name."""

    @property
    def predicted_gain(self) -> float | None:
        """How many times as fast as dense the masked layers are predicted to be; None where no sizes are known."""

    def write_back(self) -> None:
        """Give the original what was learnt: values in its weights, and the modes of its modules."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TwinRequest:
    """Which layers are sparse: the faster ones (auto), as predicted or measured; all that can be; or those named.

    `example`: the inputs of one batch; None where there is none. `full_gradients`: the part of the steps in which the
    gradients of all entries are wanted, too.
    """

    example: Any = None
    layers: tuple[str, ...] | Literal["auto", "all"] = "auto"
    measure: bool = False
    full_gradients: float = 0.0


TwinMaker = Callable[[nn.Module, Mapping[str, Tensor], TwinRequest], SparseTwin]
"""A module, its masks by parameter name, a request -> the twin; raises an error of ours where there can be none."""
