"""The program `n2nsurgery`: its commands and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from n2nsurgery.core.version import __version__
from n2nsurgery_cli.commands.apply import apply
from n2nsurgery_cli.commands.bench import bench
from n2nsurgery_cli.commands.compress import compress
from n2nsurgery_cli.commands.diff import diff
from n2nsurgery_cli.commands.doctor import doctor
from n2nsurgery_cli.commands.evaluate import evaluate
from n2nsurgery_cli.commands.export import export
from n2nsurgery_cli.commands.inspect import inspect
from n2nsurgery_cli.commands.models import models
from n2nsurgery_cli.commands.recipe import recipe
from n2nsurgery_cli.commands.report import report
from n2nsurgery_cli.commands.reproduce import reproduce
from n2nsurgery_cli.commands.sweep import sweep
from n2nsurgery_cli.commands.train import spelled_out, train
from n2nsurgery_cli.commands.verify import verify
from n2nsurgery_cli.exits import exit_code_of
from n2nsurgery_cli.grouped import GroupedCommand
from n2nsurgery_cli.plugin_option import takes_plugins
from n2nsurgery_cli.shells.bash_words import whole_words
from n2nsurgery_cli.shells.named_shell import Program

# Plain help: rich markup would triple the time of `--help`, and turn brackets in a model's name into colours.
app = typer.Typer(
    name="n2nsurgery", cls=Program, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)
_COMMANDS = (
    apply, train, evaluate, export, compress, inspect, report, diff, verify, bench, sweep, reproduce, models, doctor,
)  # fmt: skip
for command in _COMMANDS:
    named = command if command in {verify, bench, doctor} else takes_plugins(command)
    app.command("eval" if command is evaluate else None, cls=GroupedCommand)(named)
app.add_typer(recipe)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def program(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Prune any PyTorch model to an exact budget and graft sparse, learnable skip connections.

    Begin with `n2nsurgery apply resnet50 --density 5%`, then `n2nsurgery export`, then `n2nsurgery report --html`.
    """


def main() -> None:
    """Run the command line and exit with its code."""
    with whole_words():
        sys.exit(exit_code_of(lambda: app(spelled_out(sys.argv[1:]), prog_name="n2nsurgery", standalone_mode=False)))
