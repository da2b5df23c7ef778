"""metrics.jsonl and metrics.csv: the history of a run, written whole after every epoch.

The history is part of every checkpoint, so a resumed run writes neither an epoch twice nor one that was lost. A file
of one line per epoch is small enough to be written anew, and then it appears whole or not at all.
"""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from n2nsurgery.core.files import atomic_file
from n2nsurgery.core.names import leaves
from n2nsurgery.imports import extra
from n2nsurgery.training.metrics.record import EpochRecord

JSONL = "metrics.jsonl"
CSV = "metrics.csv"
TENSORBOARD = "tensorboard"


def write_metrics(folder: Path, history: Sequence[EpochRecord]) -> None:
    """Write both files into `folder`; raises RunError where that is not possible.

    The columns of the CSV are the keys of the JSON lines, joined by `_`; a split that was not evaluated is empty.
    """
    lines = [record.to_json() for record in history]
    with atomic_file(folder / JSONL, overwrite=True) as staging:
        staging.write_text("".join(json.dumps(line, allow_nan=False) + "\n" for line in lines), encoding="utf-8")
    rows = [dict(leaves(line, "_")) for line in lines]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with atomic_file(folder / CSV, overwrite=True) as staging, staging.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


class Board(Protocol):
    """Somewhere that shows scalars while a run goes on."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> object:
        """Show one value."""

    def close(self) -> object:
        """Write what is left."""


def require_tensorboard() -> None:
    """Return where `tensorboard` has what it needs; raises RunError where the package is not installed."""
    with extra("tensorboard", "the option tensorboard"):
        importlib.import_module("torch.utils.tensorboard")


def tensorboard(folder: Path, first_step: int) -> Board:
    """A TensorBoard writer into `folder` that forgets what an interrupted run wrote from `first_step` on.

    Raises RunError where the package is not installed.
    """
    with extra("tensorboard", "the option tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    board: Board = SummaryWriter(str(folder), purge_step=first_step)
    return board


def show(board: Board, record: EpochRecord) -> None:
    """Show every number of `record` on `board`, under the names of the CSV's columns."""
    for name, value in leaves(record.to_json(), "_"):
        if isinstance(value, int | float) and name not in {"epoch", "step"}:
            board.add_scalar(name, value, record.step)
