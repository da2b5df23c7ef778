"""What a reproduction found, as tables for a reader."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from n2nsurgery_cli.console import Document, draw_table


def draw_names(console: Console, document: Document) -> None:
    """The experiments there are."""
    for name in document["experiments"]:
        console.print(Text(name))


def draw_reproduction(console: Console, document: Document) -> None:
    """Tables, verdicts, and where the page and the figures lie."""
    from n2nsurgery.pipelines.reproduction import shown

    console.print(Text(document["title"], style="bold"))
    for sentence in document["conventions"]:
        console.print(Text(sentence))
    for table in document["tables"]:
        rows = [tuple(shown(cell) for cell in row) for row in table["rows"]]
        draw_table(console, table["title"], tuple(table["columns"]), rows)
    for verdict in document["verdicts"]:
        console.print(Text(f"{verdict['outcome']}: {verdict['statement']} ({verdict['evidence']})"))
    console.print(Text(f"written: {document['folder']}/{document['name']}.md"))
    for figure in document["figures"]:
        console.print(Text(f"figure: {document['folder']}/{figure}"))
