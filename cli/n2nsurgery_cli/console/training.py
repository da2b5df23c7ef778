"""Tables about training: what was asked, what was kept, what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from n2nsurgery.core.names import counted
from n2nsurgery.training.metrics.figures import metric_figure, metric_label
from n2nsurgery_cli.console.output import Document, again
from n2nsurgery_cli.console.tables import draw_facts, draw_line, draw_table, draw_warning

_BESIDE = frozenset({"evaluated", "weights", "data", "classes", "split", "samples", "loss"})


def draw_train(console: Console, document: Document) -> None:
    """A run, or of a dry run what it would be."""
    surgery, train = document["surgery"], document["recipe"]["train"]
    optimizer, schedule = train["optimizer"], train["schedule"]
    skips = counted(len(surgery["skips"]), "skip")
    draw_facts(
        console,
        {
            "model": surgery["model"],
            "weights": f"{surgery['nnz_total']:,} of {surgery['reference_weights']:,}: "
            f"{surgery['nnz_sequential']:,} in layers + {surgery['nnz_skip']:,} in {skips}",
            "training": f"{counted(document['epochs'], 'epoch')} of {counted(document['steps_per_epoch'], 'step')} of "
            f"{train['batch_size']} samples; {optimizer['name']}, lr {optimizer['lr']:g}, schedule {schedule['name']}",
            "device": f"{document['device']}, {_processes(document['processes'])}",
            **({"engine": document["engine"]["sentence"]} if document["engine"] is not None else {}),
            "recipe": document["recipe_hash"],
        },
    )
    if document["run"] is None:
        for sentence in document["data"]:
            draw_line(console, f"data: {sentence}")
    rows = [_row(name, document[name]) for name in ("best", "last") if document[name] is not None]
    if rows:
        draw_table(console, "results", ("weights", "epoch", "training", "validation", "test"), rows)
    for warning in surgery["warnings"]:
        draw_warning(console, warning)
    for name, written in (("ONNX file", document["onnx"]), ("report", document["report"])):
        if written:
            draw_line(console, f"{name}: {written}")
    draw_line(console, f"run: {document['run']}{again(document)}" if document["run"] else "nothing was written")


def draw_evaluation(console: Console, document: Document) -> None:
    """The scores of one split; top 5 only where there are more than five classes."""
    names = [name for name in _metrics(document) if name != "top5" or document["classes"] > 5]  # noqa: PLR2004
    draw_facts(
        console,
        {
            "evaluated": document["evaluated"],
            "weights": Path(document["weights"]).name,
            "data": "; ".join(document["data"]),
            "split": f"{document['split']}, {document['samples']:,} samples",
            "loss": "not finite" if document["loss"] is None else f"{document['loss']:.4f}",
            **{metric_label(name): metric_figure(name, document[name], digits=2) for name in names},
        },
    )


def _row(name: str, record: Document) -> tuple[object, ...]:
    scores: list[Any] = [record.get(split) for split in ("train", "validation", "test")]
    return (name, record["epoch"], *(_main(score) if score else "" for score in scores))


def _main(score: Document) -> str:
    """The first metric of a split, its loss where there is none."""
    name = next(iter(_metrics(score)), "loss")
    return metric_figure(name, score[name], digits=2)


def _metrics(scores: Document) -> list[str]:
    """The names of the metrics of one split: what is beside its loss, its size and its origin."""
    return [name for name in scores if name not in _BESIDE]


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
