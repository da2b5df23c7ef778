"""Route: where the two hooks of one skip sit, as a plain value that can be printed, stored and attached again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Engine = Literal["hooks", "rewrite"]


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """A value on its way into or out of a module.

    `module`: the module's path. `call`: how many calls of it come before, within the route's scope. `side`: `output`
    is what the call returns; `input` is the positional argument `position`, or the keyword argument `keyword`.
    """

    module: str
    call: int
    side: Literal["input", "output"]
    position: int | None = None
    keyword: str | None = None

    def __str__(self) -> str:
        side = "output" if self.side == "output" else f"input {self.keyword or self.position}"
        return f"{side} of '{self.module}'{f', call {self.call}' if self.call else ''}"


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a skip takes its activation from and where it adds its branch.

    `scope`: path of the innermost module whose one call holds both ends ('' for the whole model). `copies`: the
    activation is overwritten in place before the skip reads it, so it is copied.
    """

    scope: str
    source: Boundary
    target: Boundary
    copies: bool


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """How a plan is carried out, why, and with `hooks` the route of every skip, in the plan's order."""

    engine: Engine
    reason: str
    routes: tuple[Route, ...] = ()


REWRITE = EngineChoice(engine="rewrite", reason="")
"""What plans without a choice mean: those of versions that only rewrote."""
