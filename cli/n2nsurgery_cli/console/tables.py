"""Lines, facts and tables for a reader. A name is never broken, for whoever copies it or looks for it with grep.

In a pipe or a file nothing is wrapped, and no line of a table ends in blanks. In a terminal sentences wrap between
words; a table whose names do not fit is wider than the terminal. Every name comes from a model or a path and is drawn
as plain text, never as markup.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_UNLIMITED = 100_000  # columns of what is not a terminal
SEVERITIES = {"severe": "bold red", "warning": "yellow", "notice": "blue", "good": "green"}


def stdout_console() -> Console:
    """The console of a result: as wide as the terminal, or as $COLUMNS says, and without a limit elsewhere."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNLIMITED
    return console


def draw_line(console: Console, text: str, style: str = "") -> None:
    """One line, which the terminal wraps where it has to, so that a path is whole."""
    console.print(plain(text, style), soft_wrap=True)


def draw_warning(console: Console, text: str) -> None:
    """`warning: ...`, in the colour of a warning."""
    draw_line(console, f"warning: {text}", SEVERITIES["warning"])


def draw_facts(console: Console, facts: Mapping[str, object]) -> None:
    """Names and values, one pair a line."""
    draw_grid(console, [(plain(name, "bold"), plain(value)) for name, value in facts.items()])


def draw_grid(console: Console, rows: Sequence[tuple[Text, ...]]) -> None:
    """Rows of cells, without lines or heads."""
    table = Table.grid(padding=(0, 2))
    for cells in zip(*rows, strict=True):
        table.add_column(min_width=_longest_word(cells))
    _print(console, table, rows)


def draw_table(console: Console, title: str, columns: Iterable[str], rows: Iterable[tuple[object, ...]]) -> None:
    """A table under its title; the title alone where there are no rows."""
    console.print(Text(f"\n{title}", style="bold"))  # a table's own title would be folded to the table's width
    drawn = [tuple(plain(cell) for cell in row) for row in rows]
    if not drawn:
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for name, cells in zip(columns, zip(*drawn, strict=True), strict=True):
        table.add_column(name, min_width=_longest_word((plain(name), *cells)))
    _print(console, table, drawn)


def plain(value: object, style: str = "") -> Text:
    """`value` as text without control characters, which a name could use to rewrite the terminal."""
    characters = (c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return Text("".join(characters), style=style)


def _longest_word(cells: Iterable[Text]) -> int:
    return max((cell_len(word) for cell in cells for word in cell.plain.split()), default=0)


def _print(console: Console, table: Table, rows: Sequence[tuple[Text, ...]]) -> None:
    for row in rows:
        table.add_row(*row)
    least = Measurement.get(console, console.options.update(width=_UNLIMITED), table).minimum
    if console.is_terminal:
        console.print(table, width=max(console.width, least), crop=False)
        return
    with console.capture() as drawn:
        console.print(table, width=max(console.width, least), crop=False)
    console.file.write("".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines()))
