"""Results on stdout: one JSON document, or tables for a reader.

Tables are drawn from the same document, so they cannot say anything that `--json` does not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import typer
from rich.console import Console

from n2nsurgery.core.names import counted
from n2nsurgery_cli.console.tables import draw_facts, draw_line, draw_table, draw_warning, stdout_console

Document = Mapping[str, Any]
Draw = Callable[[Console, Document], None]

_MOST_REASONS = 5


def show(document: Document, draw: Draw, *, as_json: bool, quiet: bool) -> None:
    """Print `document` on stdout: as JSON, as tables, or where `quiet` as nothing but the path of what was written."""
    if as_json:
        print_json(document)
    elif quiet:
        written = next((document[name] for name in ("run", "onnx", "artifact", "written") if document.get(name)), None)
        if written:
            typer.echo(written)
    else:
        draw(stdout_console(), document)


def print_json(document: Document) -> None:
    """Print `document` as JSON on stdout."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def draw_apply(console: Console, document: Document) -> None:
    """What was asked, what was kept, where the skips run, what was refused, and where the artifact lies."""
    total, reference, skips = document["nnz_total"], document["reference_weights"], document["skips"]
    shared = f": {document['nnz_sequential']:,} in layers + {document['nnz_skip']:,} in skips" if skips else ""
    draw_facts(
        console,
        {
            "model": document["model"],
            "criterion": document["criterion"],
            "budget": f"density {document['density']:.6g} = sparsity {document['sparsity']:.6g} = "
            f"compression {document['compression']:.6g}x",
            "weights": f"{total:,} of {reference:,}{shared}",
            "MACs": "known once the weights are scored"
            if document["mac_density"] is None
            else f"{document['mac_density']:.4f} of the dense model's",
            **({"engine": ": ".join(filter(None, (document["engine"], document["engine_reason"])))} if skips else {}),
            "seed": document["seed"],
            "masks": document["mask_fingerprint"] or "known once they are drawn",
            **({"pattern": document.get("choice", f"draw {document['draw']}")} if document["draw"] else {}),
        },
    )
    rows = [
        (s["source"], s["target"], s["length"], s["kind"], size_text(s["kernel"]), s["align"], f"{s['kept']:,}")
        for s in skips
    ]
    columns = ("source", "target", "length", "kind", "kernel", "align", "kept")
    draw_table(console, counted(len(rows), "skip") if rows else "no skips", columns, rows)
    _draw_rejected(console, document["refused"])
    for warning in document["warnings"]:
        draw_warning(console, warning)
    draw_line(
        console, f"artifact: {document['artifact']}{again(document)}" if document["artifact"] else "nothing was written"
    )


def again(document: Document) -> str:
    """What is said behind a result that was there before, else nothing."""
    return " (already there, with the same content)" if document.get("already_there") else ""


def draw_inspect(console: Console, document: Document) -> None:
    """The layers, the pairs that a skip can join, and the rejections."""
    draw_facts(
        console,
        {
            "model": document["model"],
            "weights": f"{document['reference_weights']:,}",
            "MACs": f"{document['macs']:,}",
            "skip length": str(document["skip_length"]),
            "skip capacity": f"{document['skip_capacity']:,}",
        },
    )
    layers = [
        (
            layer["name"],
            layer["operator"],
            size_text(layer["output"]),
            f"{layer['weights']:,}",
            f"{layer['macs']:,}",
            "; ".join(dict.fromkeys(filter(None, (layer["not_source"], layer["not_target"])))),
        )
        for layer in document["layers"]
    ]
    columns = ("layer", "operator", "output", "weights", "MACs", "no skip starts or ends here because")
    draw_table(console, counted(len(layers), "layer"), columns, layers)
    pairs = [
        (pair["source"], pair["target"], pair["length"], f"{pair['capacity']:,}", "yes" if pair["shortcut"] else "")
        for pair in document["pairs"]
    ]
    title = f"{counted(len(pairs), 'pair')} of layers that a skip can connect"
    heads = ("source", "target", "length", "capacity", "beside a shortcut")
    shortcuts = any(pair["shortcut"] for pair in document["pairs"])
    draw_table(console, title, heads if shortcuts else heads[:-1], pairs if shortcuts else [p[:-1] for p in pairs])
    _draw_rejected(console, document["refused"])


def draw_models(console: Console, document: Document) -> None:
    """One name a line, for pipes as much as for readers."""
    for name in document["models"]:
        draw_line(console, name)


def draw_recipes(console: Console, document: Document) -> None:
    """The recipes of the package, one a line."""
    draw_facts(console, {row["name"]: row["about"] for row in document["recipes"]})


def draw_coverage(console: Console, document: Document) -> None:
    """One row for each model that was tried."""
    rows = [
        (
            row["name"],
            row["outcome"],
            "" if row["visible"] is None else f"{row['visible']:.0%}",
            "" if row["places"] is None else str(row["places"]),
            row["engine"] or "",
            "" if row["parity"] is None else f"{row['parity']:.1e}",
            f"{row['seconds']:.1f}",
            row["reason"],
        )
        for row in document["coverage"]
    ]
    columns = ("model", "outcome", "visible", "skips", "engine", "parity", "seconds", "reason")
    draw_table(console, f"{len(rows)} models", columns, rows)


def draw_doctor(console: Console, document: Document) -> None:
    """Versions, devices, providers, the compiler and the sparse runtime."""
    compiler = document["compiler"]
    library = document["sparse_runtime"]
    draw_facts(
        console,
        {
            "platform": document["platform"],
            "python": document["python"],
            **{name: version or "not installed" for name, version in document["packages"].items()},
            "devices": ", ".join(document["devices"]),
            "ONNX Runtime": ", ".join(document["onnxruntime_providers"]),
            "C++ compiler": f"{compiler['path']} ({compiler['version']})" if compiler else "none found",
            "sparse runtime": library["problem"] or f"{library['path']} ({library['instruction_set']})",
        },
    )


def _draw_rejected(console: Console, refused: Iterable[Document]) -> None:
    counts = Counter(rejection["reason"] for rejection in refused)
    if not counts:
        return
    rows = [(f"{count:,}", reason) for reason, count in counts.most_common(_MOST_REASONS)]
    rest = len(counts) - len(rows)
    title = f"{counted(counts.total(), 'layer or pair', 'layers or pairs')} rejected"
    title += f" ({rest} more reasons in --json)" if rest else ""
    draw_table(console, title, ("times", "reason"), rows)


def size_text(sizes: Iterable[int]) -> str:
    """`3x224x224`."""
    return "x".join(map(str, sizes))
