"""A figure of the page: what is drawn, and the same as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from n2nsurgery.connectivity.measurement import Number

Cells = tuple[str | Number, ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One plot.

    `draw` names the function of the page's script that draws `spec`. `title` states what is to be seen, `caption` what
    is plotted. `columns` and `rows` are the data as a table. `legend`: pairs of a colour's name and its meaning.
    """

    id: str
    draw: str
    title: str
    caption: str
    spec: Mapping[str, Any]
    columns: tuple[str, ...]
    rows: tuple[Cells, ...]
    legend: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What the page's script reads."""
        return asdict(self)
