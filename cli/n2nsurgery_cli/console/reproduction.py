"""What a reproduction found, as tables for a reader."""

from __future__ import annotations

from statistics import mean

from rich.console import Console
from rich.text import Text

from n2nsurgery.core.names import counted
from n2nsurgery_cli.console.output import Document
from n2nsurgery_cli.console.tables import SEVERITIES, draw_facts, draw_line, draw_table


def draw_names(console: Console, document: Document) -> None:
    """The experiments there are, one a line, each with what it is about."""
    draw_facts(console, {row["name"]: row["about"] for row in document["experiments"]})


def draw_reproduction(console: Console, document: Document) -> None:
    """Tables, verdicts, and where the page and the figures lie."""
    from n2nsurgery.experiments.paper.reproduction import shown

    console.print(Text(document["title"], style="bold"))
    for sentence in document["conventions"]:
        console.print(Text(sentence))
    for table in document["tables"]:
        rows = [tuple(shown(cell) for cell in row) for row in table["rows"]]
        draw_table(console, table["title"], tuple(table["columns"]), rows)
    for verdict in document["verdicts"]:
        console.print(Text(f"{verdict['outcome']}: {verdict['statement']} ({verdict['evidence']})"))
    draw_line(console, f"written: {document['folder']}/{document['name']}.md")
    for figure in document["figures"]:
        draw_line(console, f"figure: {document['folder']}/{figure}")


def draw_sweep(console: Console, document: Document) -> None:
    """A row for every setting, with its accuracy once any was trained, and the best one named."""
    trained = any(config["accuracies"] for config in document["settings"])
    console.print(Text(f"{document['weights']:,} weights shared between {', '.join(document['layers'])}"))
    rows = [
        (
            ", ".join(map(str, config["fan_outs"])),
            ", ".join(map(str, config["fan_ins"])),
            ", ".join(f"{100 * density:.4g}" for density in config["densities"]),
            *(_accuracy(config["accuracies"]) if trained else ()),
        )
        for config in document["settings"]
    ]
    columns = ("fan-outs", "fan-ins", "densities, %", *(("test accuracy, %", "runs") if trained else ()))
    draw_table(console, counted(len(rows), "setting"), columns, rows)
    for line in document["failures"]:
        draw_line(console, f"failed: {line}", SEVERITIES["warning"])
    if document["best"] is not None:
        draw_line(console, f"best: fan-outs {', '.join(map(str, document['best']))}")
    if document["folder"] is not None:
        draw_line(console, f"runs: {document['folder']}")


def _accuracy(runs: list[float]) -> tuple[str, int]:
    return f"{mean(runs):.2f}" if runs else "", len(runs)
