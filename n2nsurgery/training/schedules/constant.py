"""Schedule `constant`: the base learning rate in every step."""

from __future__ import annotations

from dataclasses import dataclass

from n2nsurgery.training.schedules import Span


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same learning rate throughout."""

    def __call__(self, lr: float, step: int, span: Span) -> float:  # noqa: ARG002 - the protocol's
        """`lr`."""
        return lr


MEMBER = Constant
