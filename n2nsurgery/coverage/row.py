"""CoverageRow: what became of one model, from tracing to the exported file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["served", "pruned only", "refused", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class CoverageRow:
    """One model of the matrix.

    `outcome`: `served`, pruned with skips; `pruned only`; `refused`, with a message for the user; `failed`, by an error
    that is none, or a limit of time or memory; `skipped`: not tried. `leaves`: classes that tracing did not look into.
    `visible`: prunable weights as a share of all parameters. `places`: skips that were grafted, over `skip_length`
    layers. `engine`: hooks or rewrite. `gates`: whether the model without skips was compared and found the same (None:
    not reached). `exported`: whether a file was made and found equal (None: not tried). `parity`: its largest
    difference from torch, as a share of the largest output. `seconds`: of CPU, all steps together. `reason`: what
    stands in the way, or what was noted. `gigabytes`: the limit of memory, where it was another than usual.
    """

    name: str
    outcome: Outcome
    leaves: tuple[str, ...] = ()
    visible: float | None = None
    places: int | None = None
    skip_length: int | None = None
    engine: str | None = None
    gates: bool | None = None
    exported: bool | None = None
    parity: float | None = None
    seconds: float = 0.0
    reason: str = ""
    gigabytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)
