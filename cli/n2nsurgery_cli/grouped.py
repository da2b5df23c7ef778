"""GroupedCommand and WholeLines: help that lists options under headings, and commands by their whole sentence."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from typer.core import TyperCommand, TyperGroup

from n2nsurgery.core.errors import UsageError
from n2nsurgery.registries import CRITERIA
from n2nsurgery_cli.config_options import metavar_of
from n2nsurgery_cli.examples import EXAMPLES
from n2nsurgery_cli.plugin_option import import_given

_WHOLE = "\N{NON-BREAKING HYPHEN}"  # lines break at others


class WholeLines(TyperGroup):
    """A group of commands, each listed with its first sentence, however many lines that takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - of the parser that typer brings
        """Write the commands."""
        listed = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in listed if each is not None])


class GroupedCommand(TyperCommand):
    """Arguments first, then each group of options under its own heading, in the order in which they are declared.

    The names that plugins add are among the values of its options.
    """

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:  # noqa: ANN401
        """The context of a call, for which the plugins that it names are imported; completion goes on without them."""
        if any(parameter.name == "plugin" for parameter in self.params):
            with suppress(*([UsageError] if extra.get("resilient_parsing") else [])):
                import_given(args)
            for parameter in self.params:
                parameter.metavar = metavar_of(parameter.name) or parameter.metavar
        return super().make_context(info_name, args, parent, **extra)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - of the parser that typer brings
        """`[OPTIONS] MODEL [FILE]`: what may be left out stands in brackets."""
        arguments = [each for each in self.get_params(ctx) if each.param_type_name == "argument"]
        pieces = (_shown(each) if each.required else f"[{_shown(each)}]" for each in arguments)
        return [self.options_metavar or "", *pieces]

    def get_help(self, ctx: Any) -> str:  # noqa: ANN401
        """The help as it is printed."""
        return super().get_help(ctx).replace(_WHOLE, "-")

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the help of all parameters."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = getattr(parameter, "rich_help_panel", None) or "Options"
                if parameter.param_type_name == "argument":
                    heading, record = "Arguments", (_shown(parameter), record[1])
                told = re.sub(r" +\[default: (.*)\]$", r"; default: \1", record[1])
                sections.setdefault(heading, []).append((record[0], told.replace("-", _WHOLE)))
        last = sections.pop("Options", [])
        for heading, records in [*sections.items(), ("Options", last)]:
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write examples, and what each criterion does below the options of a command that takes one."""
        if examples := EXAMPLES.get(self.name or ""):
            with formatter.section("Examples"):
                for line in examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        if any(parameter.name == "criterion" for parameter in self.get_params(ctx)):
            with formatter.section("Criteria"):
                formatter.write_dl(list(CRITERIA.summaries().items()))
        super().format_epilog(ctx, formatter)


def _shown(argument: Any) -> str:  # noqa: ANN401
    """What stands for an argument in the help."""
    return str(argument.metavar or argument.name).upper()
