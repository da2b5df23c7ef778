"""GroupedCommand: a command whose `--help` lists its options under headings."""

from __future__ import annotations

import ast
from typing import Any

from typer.core import TyperCommand

from n2nsurgery.core.registry import member_files

_CRITERIA = "n2nsurgery.masks.criteria"


class GroupedCommand(TyperCommand):
    """Arguments first, then each group of options under its own heading, in the order in which they are declared."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - of the parser that typer brings
        """Write the help of all parameters."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = getattr(parameter, "rich_help_panel", None) or "Options"
                named = "Arguments" if parameter.param_type_name == "argument" else heading
                sections.setdefault(named, []).append(record)
        last = sections.pop("Options", [])
        for heading, records in [*sections.items(), ("Options", last)]:
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write what each criterion does, below the options of a command that takes one."""
        if any(parameter.name == "criterion" for parameter in self.get_params(ctx)):
            with formatter.section("Criteria"):
                formatter.write_dl(summaries(_CRITERIA))
        super().format_epilog(ctx, formatter)


def summaries(package: str) -> list[tuple[str, str]]:
    """Name and first sentence of each member of a registry, read from its file without importing it."""
    found: list[tuple[str, str]] = []
    for name, file in member_files(package).items():
        described = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        found.append((name, described.partition("\n\n")[0].partition(": ")[2]))
    return found
