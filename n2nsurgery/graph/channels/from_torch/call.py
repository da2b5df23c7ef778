"""One recorded call of a torch function, and the form of what records it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from n2nsurgery.graph.channels.steps import AnyStep


@dataclass(frozen=True, kw_only=True, eq=False)
class TorchCall:
    """One call: its bare name, what was called with which arguments, the tensors it gave, the values it read."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: list[Tensor]
    reads: tuple[int, ...]

    def argument(self, position: int, name: str, default: Any = None) -> Any:  # noqa: ANN401 - any argument
        """An argument by position or name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)


class CallTape(Protocol):
    """What a recorder asks of the tape, and does to it. Every `add` returns whether the step was recorded."""

    def known(self, tensor: object) -> int | None:
        """The value that `tensor` is; None for a constant."""
        ...

    def values(self, *tensors: object) -> tuple[int, ...]:
        """The values among `tensors`."""
        ...

    def real(self, tensor: Tensor) -> Tensor | None:
        """A constant with its data, on the CPU; None where that cannot be had."""
        ...

    def transposed(self, weight: Tensor) -> Tensor:
        """A constant matrix transposed, which keeps its name."""
        ...

    def add(self, kind: type[AnyStep], name: str, reads: tuple[int, ...], results: list[Tensor], **more: Any) -> bool:  # noqa: ANN401
        """Record a step that writes `results`."""
        ...

    def add_move(self, name: str, given: Any, results: list[Tensor], call: Callable[[Any], Any]) -> bool:  # noqa: ANN401
        """Record `call(given)`, which moves the entries of the values in `given`."""
        ...

    def add_layer(self, name: str, source: Tensor, weight: Tensor, results: list[Tensor], **more: Any) -> bool:  # noqa: ANN401
        """Record a weighted layer."""
        ...


Recorder = Callable[[CallTape, TorchCall], bool]
