"""The matrix as a page of Markdown: sums by library, then one row for each model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from n2nsurgery.coverage.catalogue import GROUPS
from n2nsurgery.coverage.matrix import GIGABYTES
from n2nsurgery.coverage.row import CoverageRow

_Cells = tuple[str, ...]
_PACKAGES = {"own": "torch", "smp": "segmentation-models-pytorch"}
_HEAD = """# Which models are served

One command makes this page: `n2nsurgery models --coverage --output docs/coverage.md`. Every model is built with random
weights and pruned to half of its weights with default options but for `--engine auto`, in a process of its own. It is
*served* if it was traced, compared with the original, pruned and given skips. *Pruned only*: the same, without a place
for a skip. *Refused*: a message says what is in the way. *Failed*: another error, or a limit of time or memory.
With `--filter`, only the rows of those models are made anew. A model may take {gigabytes} GB of memory; a row that was
made with another limit names it.

- visible: prunable weights, as a share of all parameters
- skips: how many, and over how many layers
- gates: the model with the change at zero was compared with the original: outputs, and with hooks also buffers and
  gradients in both modes
- parity: largest difference of the exported file from torch, as a share of the largest output (below 1e-05, or the
  export fails); *none* where no file could be made, for the reason given; empty where export was not tried
- exported, in the first table: of the models of which export was tried
- seconds: of CPU, on a shared machine

Reasons of models that are pruned only:

- attention projection: the layer's output is multiplied with that of another layer (queries, keys, values, or the
  state of a Mamba block) before any nonlinearity, so it is no pre-activation that a skip could be added to
- its sum holds a shortcut already: a skip there would double that shortcut
- spatial ranks differ: tokens in a row on one side, an image on the other; which token is where is not known
- the source's first dimension is not the batch: a skip adds sample by sample
- stacks of matrices, as in mixtures of experts, are pruned, but each token passes some of them only: they have no place
- a layer that code calls as a function on a reshaped weight, as Mamba's convolution, is not known as a layer
- a leaf's reason: where tracing ended, so no pair of layers inside is known
"""
_OUTCOMES = ("served", "pruned only", "refused", "failed")
_NO_FILE = "none"
_COLUMNS = ("model", "outcome", "traced", "visible", "skips", "engine", "gates", "parity", "seconds", "reason")


def page(rows: Sequence[CoverageRow], before: str = "") -> str:
    """The whole page; libraries in a fixed order, models in that of `rows`.

    `before`: a page of an earlier run. Its rows of other models stay in their places, but for those of libraries that
    are installed in another version now.
    """
    by_group = {
        group: _rows_of(before, group) | {row.name: _cells(row) for row in rows if row.name.startswith(f"{group}:")}
        for group in GROUPS
    }
    by_group = {group: found for group, found in by_group.items() if found}
    sums = [_sums(group, list(found.values())) for group, found in by_group.items()]
    parts = [_HEAD.format(gigabytes=GIGABYTES), _table(("library", "models", *_OUTCOMES, "exported"), sums)]
    for group, found in by_group.items():
        parts += [f"## {group}\n", _table(_COLUMNS, list(found.values()))]
    return "\n".join(parts)


def _rows_of(before: str, group: str) -> dict[str, _Cells]:
    """The rows of a library in an earlier page, by the name of the model."""
    if f"| {group} {_version(group)} | " not in before:
        return {}
    _, _, section = before.partition(f"## {group}\n")
    lines = section.partition("\n## ")[0].splitlines()
    cells = [tuple(line[2:-2].split(" | ")) for line in lines if line.startswith("| ")]
    return {f"{group}:{each[0]}": each for each in cells[2:] if len(each) == len(_COLUMNS)}  # after head and rule


def _sums(group: str, rows: Sequence[_Cells]) -> _Cells:
    outcomes = [cells[_COLUMNS.index("outcome")] for cells in rows]
    parities = [cells[_COLUMNS.index("parity")] for cells in rows if cells[_COLUMNS.index("parity")]]
    exported = f"{len(parities) - parities.count(_NO_FILE)} of {len(parities)}"
    tried = len(rows) - outcomes.count("skipped")
    return (f"{group} {_version(group)}", *map(str, (tried, *map(outcomes.count, _OUTCOMES))), exported)


def _version(group: str) -> str:
    try:
        return metadata.version(_PACKAGES.get(group, group))
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _cells(row: CoverageRow) -> _Cells:
    limit = "" if row.gigabytes is None else f"limit: {row.gigabytes} GB"
    reason = "; ".join(filter(None, (row.reason, *row.leaves, limit)))
    return (
        row.name.partition(":")[2],
        row.outcome,
        "" if row.visible is None else f"{len(row.leaves)} leaves" if row.leaves else "whole",
        "" if row.visible is None else f"{row.visible:.1%}",
        "" if row.places is None else f"{row.places} over {row.skip_length}" if row.places else "0",
        row.engine or "",
        "passed" if row.gates else "",
        f"{row.parity:.1e}" if row.parity is not None else "" if row.exported is None else _NO_FILE,
        f"{row.seconds:.1f}",
        reason.replace("|", "\\|").replace("<", "&lt;"),
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
