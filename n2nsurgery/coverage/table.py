"""The matrix as a page of Markdown: sums by library, then one row for each model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from n2nsurgery.coverage.catalogue import GROUPS
from n2nsurgery.coverage.row import CoverageRow

_PACKAGES = {"own": "torch", "smp": "segmentation-models-pytorch"}
_HEAD = """# Which models are served

One command makes this page: `n2nsurgery models --coverage --output docs/coverage.md`. Every model is built with random
weights and pruned to half of its weights with default options but for `--engine auto`, in a process of its own. It is
*served* if it was traced, compared with the original, pruned and given skips. *Pruned only*: the same, without a place
for a skip. *Refused*: a message says what is in the way. *Failed*: another error, or a limit of time or memory.

- visible: prunable weights, as a share of all parameters
- skips: how many, and over how many layers
- gates: the model with the change at zero was compared with the original: outputs, and with hooks also buffers and
  gradients in both modes
- parity: largest difference of the exported file from torch, as a share of the largest output
- seconds: of CPU, on a shared machine
"""
_OUTCOMES = ("served", "pruned only", "refused", "failed")
_COLUMNS = ("model", "outcome", "traced", "visible", "skips", "engine", "gates", "parity", "seconds", "reason")


def page(rows: Sequence[CoverageRow]) -> str:
    """The whole page; libraries in a fixed order, models in that of `rows`."""
    by_group = {group: [row for row in rows if row.name.startswith(f"{group}:")] for group in GROUPS}
    parts = [_HEAD, _table(("library", "models", *_OUTCOMES, "exported"), [
        _sums(group, found) for group, found in by_group.items() if found
    ])]  # fmt: skip
    for group, found in by_group.items():
        if found:
            parts += [f"## {group}\n", _table(_COLUMNS, [_cells(row) for row in found])]
    return "\n".join(parts)


def _sums(group: str, rows: Sequence[CoverageRow]) -> tuple[str, ...]:
    tried = [row for row in rows if row.outcome != "skipped"]
    counts = [sum(row.outcome == outcome for row in tried) for outcome in _OUTCOMES]
    exported = sum(row.parity is not None for row in tried)
    return (f"{group} {_version(group)}", *map(str, (len(tried), *counts, exported)))


def _version(group: str) -> str:
    try:
        return metadata.version(_PACKAGES.get(group, group))
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _cells(row: CoverageRow) -> tuple[str, ...]:
    reason = "; ".join(filter(None, (row.reason, *row.leaves)))
    return (
        row.name.partition(":")[2],
        row.outcome,
        "" if row.visible is None else f"{len(row.leaves)} leaves" if row.leaves else "whole",
        "" if row.visible is None else f"{row.visible:.1%}",
        "" if row.places is None else f"{row.places} over {row.skip_length}" if row.places else "0",
        row.engine or "",
        "passed" if row.gates else "",
        "" if row.parity is None else f"{row.parity:.1e}",
        f"{row.seconds:.1f}",
        reason.replace("|", "\\|").replace("<", "&lt;"),
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
