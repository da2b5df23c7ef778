"""A figure of the page: what is drawn, and the same as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from n2nsurgery.connectivity.measures.measurement import Number
from n2nsurgery.connectivity.report.layer_table import BESIDE, IDENTITY, LAYER

Cells = tuple[str | Number, ...]


OWN = {LAYER: ("subject", "layer"), BESIDE: ("subject", "beside a layer"), IDENTITY: ("reference", "identity")}


def legend_of(kinds: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The legend for blocks of these kinds: blue for layers, orange for skips, grey for identity edges."""
    return tuple(dict.fromkeys(OWN.get(kind, ("skip", "skip")) for kind in kinds))


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
        """What the page's script reads; pictures stand in the page already, once is enough."""
        found = asdict(self)
        for panel in found["spec"].get("panels", ()):
            panel.pop("image", None)
        return found
