"""A reproduction: one table or figure of a paper, with the paper's numbers beside ours and a verdict on each statement.

An experiment is one file in `experiments/`. It hands back plain values; figures are written beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.core.registry import Registry

Scale = Literal["smoke", "small", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)
Outcome = Literal["reproduced", "refuted", "undecided", "needs full scale"]
TableCell = str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under `columns`, with a `title`; None is an empty cell. Floats are shown with four significant digits."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A `statement` of the paper or of ours, what became of it, and the numbers that say so."""

    statement: str
    outcome: Outcome
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Everything that one experiment found; `figures` are the names of files in its folder."""

    name: str
    title: str
    source: str
    conventions: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    figures: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """How an experiment is run: into which `folder`, how large, from which seed, with what data.

    `scale`: `smoke` (seconds, shows that it works), `small` (two CPU cores, minutes to hours), `paper` (as printed).
    `seeds`: how many runs stand behind a mean; None takes the scale's own number. `workers`: how many trainings go on
    at a time; None for one on every GPU, or one on the CPU. `only`: patterns, see `core.names.select`; trainings whose
    names match one of them are done, and shown with whatever is finished. `finished`: train nothing, show what
    earlier runs have left.
    """

    folder: Path
    scale: Scale = "small"
    seed: int = 0
    seeds: int | None = None
    data: Path | None = None
    download: bool = False
    device: str = "auto"
    workers: int | None = None
    only: tuple[str, ...] = ()
    finished: bool = False
    progress: Progress = SILENT


class Experiment(Protocol):
    """One table or figure; `trains` says whether it needs training, and so minutes or more."""

    trains: bool

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Carry it out; finished parts in `config.folder` are used again."""


EXPERIMENTS: Registry[type[Experiment]] = Registry(kind="experiment", package="n2nsurgery.experiments.targets")


def markdown(found: Reproduction) -> str:
    """The reproduction as a page of Markdown."""
    parts = [f"# {found.title}", f"Source: {found.source}."]
    if found.conventions:
        parts.append("\n".join(f"- {sentence}" for sentence in found.conventions))
    for table in found.tables:
        parts += [f"## {table.title}", _markdown_table(table.columns, table.rows)]
    if found.verdicts:
        rows = [(verdict.statement, verdict.outcome, verdict.evidence) for verdict in found.verdicts]
        parts += ["## Statements", _markdown_table(("statement", "outcome", "numbers"), rows)]
    parts += [f"![{name}]({name})" if name.endswith(".png") else f"[{name}]({name})" for name in found.figures]
    return "\n\n".join(parts) + "\n"


def shown(cell: TableCell) -> str:
    """A cell as text."""
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[TableCell]]) -> str:
    lines = [columns, ["---"] * len(columns), *([shown(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
