"""What a notebook shows of a report or a difference: a table of two columns."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape


def html_table(facts: Mapping[str, str]) -> str:
    """A row for each fact; names of a model may be among them, so everything is escaped."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f"<table>{rows}</table>"
