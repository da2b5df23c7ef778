"""The options of a command, made from the fields of a config: name, type, help, values, and the former spelling.

What a command is not given stays out, so that a preset or the config's own default says it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer

from n2nsurgery.core.config.options import ConfigField, config_fields
from n2nsurgery.core.errors import UsageError
from n2nsurgery_cli import completion
from n2nsurgery_cli.values import is_share, kind_of, parsed

Given = dict[str, Any]
"""The options that a command was given, by the names of their fields."""

_FORMER = "former_"
_REGISTERED: dict[str, ConfigField] = {}  # by the name of their parameter; one of that name has one registry
_LONGEST_METAVAR = 44
_SHORT = {"output": "-o"}
_COMPLETED = {
    "MODEL|ARTIFACT|FILE": completion.networks,
    "[auto|RUN]": completion.artifacts,
}  # what TAB offers, by what stands for the value
_OTHERWISE = {
    "overrides": "--set",
    "list_only": "--list",
    "calibration": "--calibrate",
    "example_inputs": "--example",
    **{key: f"train.{key}" for key in ("dynamics", "gradient_checkpointing", "skip_fade")},  # of a recipe
}  # fields whose option is not called as they are


def options_of(parameter: str, config: type, only: Sequence[str] | None = None) -> Callable[[Any], Any]:
    """A decorator: a command's `parameter` (a Given) stands for the options of `config`, all or `only` some of them."""
    chosen = [each for each in config_fields(config) if only is None or each.name in only]

    def extended(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def called(**arguments: Any) -> object:  # noqa: ANN401 - what typer read
            given = {each.name: value for each in chosen if (value := _value(each, arguments)) is not None}
            return command(**arguments, **{parameter: given})

        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]
        at = [each.name for each in own].index(parameter)
        made = [made for each in chosen for made in _parameters(each)]
        parameters = [*own[:at], *made, *own[at + 1 :]]
        shown: Any = called  # typer reads both attributes
        shown.__signature__ = signature.replace(parameters=parameters)
        shown.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return extended


def flag_of(field: str) -> str:
    """How the command line spells a field: `--skip-ratio`, `--criterion-option mode`; a recipe's key as it is."""
    name, _, part = field.partition(".")
    options = name.endswith("_options")
    if part and not options:
        return field
    flag = _OTHERWISE.get(name, "--" + _dashed(name.removesuffix("s") if options else name))
    return f"{flag} {part}" if part else flag


def _value(each: ConfigField, arguments: Given) -> object:
    """The value that the command line gives a field, taken out of `arguments`; None where it gives none."""
    given = arguments.pop(each.name)
    former = arguments.pop(_FORMER + each.name, None)
    old = each.option.former
    if old is not None and former not in (None, []):
        flag = flag_of(each.name)
        if given not in (None, []):
            raise UsageError(f"--{_dashed(old.name)} is the former name of {flag}: give one of them")
        typer.echo(f"warning: --{_dashed(old.name)} is {flag} now; the next release drops the old name", err=True)
        given = old.values.get(former, former) if isinstance(former, str) else former
    return None if given in (None, []) else parsed(each, given)


def _parameters(each: ConfigField) -> Iterator[inspect.Parameter]:
    yield _parameter(each, each.name, flag_of(each.name))
    if each.option.former is not None:
        yield _parameter(each, _FORMER + each.name, "--" + _dashed(each.option.former.name), hidden=True)


def _parameter(each: ConfigField, name: str, flag: str, *, hidden: bool = False) -> inspect.Parameter:
    kind = _read_as(each)
    flags = [
        f"{flag}/--no-{flag[2:]}" if kind is bool and hidden else flag,
        *([_SHORT[name]] if name in _SHORT else []),
    ]
    more: Given = {} if kind is bool else {"metavar": _metavar(each)}
    if each.choices:
        more["autocompletion"] = lambda incomplete: [name for name in each.choices if name.startswith(incomplete)]
    elif more.get("metavar") in _COMPLETED:
        more["autocompletion"] = _COMPLETED[more["metavar"]]
    if each.option.registry is not None:
        _REGISTERED[name] = each
    described = typer.Option(
        *flags, help=_help(each), hidden=hidden, show_default=False, rich_help_panel=each.option.group, **more
    )
    needed = each.default is MISSING and not hidden
    annotation = Annotated[kind if needed else kind | None, described]  # type: ignore[valid-type]  # made here
    default = inspect.Parameter.empty if needed else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def metavar_of(parameter: str) -> str | None:
    """What stands for the value of a parameter whose values are registered, plugins included; None for others."""
    each = _REGISTERED.get(parameter)
    return _metavar(each) if each is not None else None


def _metavar(each: ConfigField) -> str:
    listed = "|".join(each.choices)
    return each.option.metavar or (listed if listed and len(listed) <= _LONGEST_METAVAR else "NAME")


def _help(each: ConfigField) -> str:
    several = "; repeatable" if _read_as(each) == list[str] else ""
    shown = each.default not in (None, MISSING, "") and not isinstance(each.default, bool | tuple | dict)
    return f"{each.option.help}{several}" + (f"; default: {_plain(each.default)}" if shown else "")


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read_as(each: ConfigField) -> Any:  # noqa: ANN401 - a type that typer knows
    """What typer reads for a field: a flag, a number, a path, text, or a list of texts."""
    kind = kind_of(each.hint)
    if get_origin(kind) is Mapping or kind == tuple[str, ...]:
        return list[str]
    return kind if kind in {bool, int, float, Path} and not is_share(each) else str


def _dashed(name: str) -> str:
    return name.replace("_", "-")
