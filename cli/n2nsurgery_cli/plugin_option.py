"""The option `--plugin`, which a command gets in front of its own work: modules to import for what they register."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from itertools import pairwise
from typing import Annotated, Any

import typer

from n2nsurgery.plugins import import_plugins

_FLAG, _VARIABLE = "--plugin", "N2NSURGERY_PLUGINS"
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        _FLAG,
        metavar="MODULE",
        envvar=_VARIABLE,
        show_envvar=False,
        help="import a module of yours first, for what it registers; repeatable, or $N2NSURGERY_PLUGINS",
    ),
]


def import_given(arguments: Sequence[str]) -> None:
    """Import what `--plugin` names in a command's `arguments`, or else the environment, before the command is parsed.

    So help and completion show what a plugin registers. What a module prints goes to stderr.
    """
    options = [*arguments[: list(arguments).index("--")]] if "--" in arguments else [*arguments]
    apart = [value for flag, value in pairwise(options) if flag == _FLAG]
    joined = [option.partition("=")[2] for option in options if option.startswith(f"{_FLAG}=")]
    with redirect_stdout(sys.stderr):
        import_plugins([*apart, *joined] or os.environ.get(_VARIABLE, "").split())


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
