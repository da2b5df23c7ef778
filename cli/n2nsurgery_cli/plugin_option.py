"""The option `--plugin`, which a command gets in front of its own work: modules to import for what they register."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

from n2nsurgery.plugins import import_plugins

Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="MODULE",
        envvar="N2NSURGERY_PLUGINS",
        show_envvar=False,
        help="import a module of yours first, for what it registers; repeatable, or $N2NSURGERY_PLUGINS",
    ),
]


def takes_plugins(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` with the option `--plugin`; what a module prints while it is imported goes to stderr."""
    signature = inspect.signature(command, eval_str=True)
    plugin = inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Plugins)

    @functools.wraps(command)
    def called(*, plugin: list[str] | None, **arguments: Any) -> object:  # noqa: ANN401 - what typer read
        with redirect_stdout(sys.stderr):
            import_plugins(plugin or ())
        return command(**arguments)

    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]
    shown: Any = called  # typer reads both attributes
    shown.__signature__ = signature.replace(parameters=[*own, plugin])
    shown.__annotations__ = {each.name: each.annotation for each in (*own, plugin)}
    return called
