"""The generated pages of the site, as hooks of mkdocs: they are made at every build, so they cannot be out of date.

reference/commands.md   every command with its options, from the command line itself
reference/recipes.md    every key of a recipe with its sentence, from the configs
reference/parts.md      every registered criterion, skip kind, data set, loss, ...
reference/python.md     the public functions and classes, from their signatures and docstrings
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import typer
from mkdocs.structure.files import File, Files

import n2nsurgery
from n2nsurgery import register, registries, testing
from n2nsurgery.connectivity.graph.report_config import ReportConfig
from n2nsurgery.core.config.options import ConfigField, config_fields
from n2nsurgery.core.registry import Registry
from n2nsurgery.data.config import DataConfig, MixingConfig
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.surgery.planning.config import WITH_OPTIONS, SurgeryConfig
from n2nsurgery.surgery.planning.presets import PRESET_HELP
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.distillation import DistillationConfig
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.config.fading import FadingConfig
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.schedule import ScheduleConfig
from n2nsurgery_cli.main import app

ADR = "adr"
_EXIT_CODES = (
    "Exit codes: 0 done, 1 the run failed, 2 wrong usage, 3 invalid file, 4 verification failed, 5 model not "
    "traceable, 130 interrupted, 141 nobody reads stdout any more."
)
_ABOUT_RECIPES = (
    "`n2nsurgery recipe init` writes a recipe to start from, `recipe check` reads one and prints it with every default "
    "filled in, and `recipe schema` prints the JSON schema for editors. `recipe list` shows those that come with the "
    "package, which `train recipe:NAME` takes. `--set train.epochs=5` replaces a value for one run."
)
_ABOUT_PARTS = (
    "Your own are added by a decorator, an entry point or a plugin: see [Own criterion](../tutorials/own-criterion.md)."
)
_NOTE = "This page is made from the program at every build.\n"


def on_config(config: Any) -> Any:  # noqa: ANN401 - of mkdocs
    """List the decision records in the navigation, by their titles."""
    records = sorted(Path(config.docs_dir, ADR).glob("*.md"))
    listed = [{record.read_text(encoding="utf-8").partition("\n")[0].lstrip("# "): f"{ADR}/{record.name}"}
              for record in records]  # fmt: skip
    config.nav.append({"Decisions": listed})
    return config


def on_files(files: Files, config: Any) -> Files:  # noqa: ANN401
    """Add the generated pages."""
    for name, made in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(made())))
    return files


def commands() -> Iterator[str]:
    """The page of the command line."""
    yield from ("# Command line", "", _NOTE, _EXIT_CODES, "")
    program: Any = typer.main.get_command(app)
    yield from _commands(program, "n2nsurgery")


def _commands(group: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - of the parser that typer brings
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
            continue
        context = command.make_context(f"{path} {name}", [], resilient_parsing=True)
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        yield from (f"## {path} {name}", "", f"    {usage}", "", _prose(command.help or ""), "")
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None:
                heading = getattr(parameter, "rich_help_panel", None) or "Options"
                named = "Arguments" if parameter.param_type_name == "argument" else heading
                groups.setdefault(named, []).append(record)
        for heading, records in groups.items():
            yield from (f"**{heading}**", "", *_table(("", "meaning"), [(_code(a), _cell(b)) for a, b in records]), "")


def recipes() -> Iterator[str]:
    """The page of a recipe's keys."""
    yield from ("# Recipe", "", _NOTE, _ABOUT_RECIPES, "")
    top = [
        ("`version`", "2", "", "of the format"),
        ("`seed`", "a whole number from 0", "0", "every random draw derives from it"),
        ("`plugins`", "a list of modules", "none", "modules to import first, for what they register"),
    ]
    yield from _table(_HEAD, top)
    for name, (config, without) in _SECTIONS.items():
        yield from ("", f"## {name}", "", _prose(_summary(config)), "")
        described = [each for each in config_fields(config) if each.name not in without]
        rows = [_row(each) for each in described]
        if config is DataConfig:
            named = "a name of the [data set](parts.md#data-set) registry, or `package.module:factory`"
            rows.insert(0, ("`name`", named, "needed", "the data set; `data: mnist` is short for it alone"))
        if config is SurgeryConfig:
            rows.insert(0, ("`preset`", "`paper`", "none", PRESET_HELP))
        yield from _table(_HEAD, rows)
        if config is DataConfig:
            yield from _data_sets()


def _data_sets() -> Iterator[str]:
    for name in DATA_SETS.names():
        kind = DATA_SETS.get(name)
        yield from ("", f"### data: {name}", "", _prose(inspect.getdoc(kind) or ""), "")
        yield from _table(_HEAD, [_row(each) for each in config_fields(kind)])


_HEAD = ("key", "value", "default", "meaning")
_SECTIONS: dict[str, tuple[type, tuple[str, ...]]] = {
    "model": (ModelConfig, ()),
    "data": (DataConfig, ()),
    "data.mixing": (MixingConfig, ()),
    "surgery": (SurgeryConfig, ("seed", *(f"{name}_options" for name in WITH_OPTIONS))),
    "train": (TrainConfig, ("seed",)),
    "train.optimizer": (OptimizerConfig, ()),
    "train.schedule": (ScheduleConfig, ()),
    "train.distillation": (DistillationConfig, ()),
    "train.dynamics": (DynamicsConfig, ()),
    "train.skip_fade": (FadingConfig, ()),
    "export": (ExportConfig, ()),
    "report": (ReportConfig, ()),
}


def _row(each: ConfigField) -> tuple[str, ...]:
    if each.option.registry is not None:
        allowed = f"a name of the [{each.option.registry.kind}](parts.md#{_anchor(each.option.registry.kind)}) registry"
    else:
        section = any(is_dataclass(part) for part in (each.hint, *get_args(each.hint)))
        allowed = "a section, see below" if section else _cell(each.allowed)
    default = (
        "needed" if each.default is MISSING else "see below" if is_dataclass(each.default) else _code(each.default)
    )
    return f"`{each.name}`", allowed, default, _cell(each.option.help)


def parts() -> Iterator[str]:
    """The page of everything that is chosen by name."""
    yield from ("# Parts that are chosen by name", "", _NOTE, _ABOUT_PARTS, "")
    for registry in (each for each in vars(registries).values() if isinstance(each, Registry)):
        yield from (f"## {registry.kind}", "")
        if registry.aliases:
            other = ", ".join(f"`{alias}` for `{name}`" for alias, name in registry.aliases.items())
            yield from (f"Other names: {other}.", "")
        rows = [(f"`{name}`", _cell(text), _options(registry.get(name))) for name, text in registry.summaries().items()]
        yield from (*_table(("name", "what it is", "options and their defaults"), rows), "")


def _options(member: Any) -> str:  # noqa: ANN401 - of any registry
    named = fields(member) if is_dataclass(member) else ()
    return ", ".join(
        f"`{each.name}`" if each.default is MISSING else f"`{each.name}` {_code(each.default)}" for each in named
    )


def python() -> Iterator[str]:
    """The page of the public names."""
    yield from ("# Python", "", _NOTE)
    for name in n2nsurgery.__all__:
        yield from _member(f"n2nsurgery.{name}", getattr(n2nsurgery, name))
    yield from ("## Registering", "", _prose(inspect.getdoc(register) or ""), "")
    yield from ("## Checks for members", "", _prose(inspect.getdoc(testing) or ""), "")
    for name in testing.__all__:
        yield from _member(f"n2nsurgery.testing.{name}", getattr(testing, name), level=3)


def _member(name: str, member: Any, level: int = 2) -> Iterator[str]:  # noqa: ANN401 - a function or class
    yield from ("", f"{'#' * level} {name}", "")
    if callable(member) and not (isinstance(member, type) and issubclass(member, BaseException)):
        yield from ("```python", _signature(name.rpartition(".")[2], member), "```", "")
    yield _prose(inspect.getdoc(member) or "")
    if isinstance(member, type):
        for each, inner in vars(member).items():
            shown = inner.fget if isinstance(inner, property) else getattr(inner, "__func__", inner)
            if not each.startswith("_") and inspect.isfunction(shown) and shown.__doc__:
                called = each if isinstance(inner, property) else f"{each}{_arguments(shown)}"
                yield from ("", f"**`{called}`**", "", _prose(inspect.getdoc(shown) or ""))


def _signature(name: str, member: Callable[..., Any]) -> str:
    given = [_parameter(each) for each in _shown(member)]
    keywords = next((at for at, each in enumerate(_shown(member)) if each.kind is inspect.Parameter.KEYWORD_ONLY), None)
    if keywords is not None:
        given.insert(keywords, "*")
    return f"{name}(\n" + "".join(f"    {each},\n" for each in given) + ")" if given else f"{name}()"


def _parameter(each: inspect.Parameter) -> str:
    hint = each.annotation if isinstance(each.annotation, str) else inspect.formatannotation(each.annotation)
    typed = (
        ""
        if each.annotation is inspect.Parameter.empty
        else f": {re.sub('(typing|collections.abc|pathlib)[.]', '', hint)}"
    )
    default = getattr(each.default, "__name__", repr(each.default))
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(each.kind, "")
    return f"{stars}{each.name}{typed}" + ("" if each.default is inspect.Parameter.empty else f" = {default}")


def _arguments(function: Callable[..., Any]) -> str:
    return "(" + ", ".join(each.name for each in _shown(function)) + ")"


def _shown(member: Callable[..., Any]) -> list[inspect.Parameter]:
    return [each for each in inspect.signature(member).parameters.values() if each.name not in {"self", "cls"}]


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\n")[0]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    named = list(head)
    for row in (named, ["---"] * len(named), *rows):
        yield f"| {' | '.join(row)} |"


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).replace("|", "\\|")


def _code(value: object) -> str:
    text = " ".join(str(value).split())
    known = {"None": "none", "()": "none", "{}": "none", "": "empty"}
    return known.get(text, f"<code>{_plain(text)}</code>")


def _prose(text: str) -> str:
    """`text` as Markdown: what is not code holds no HTML."""
    parts = re.split(r"(`[^`]*`|^ {4}.*$)", text, flags=re.MULTILINE)
    return "".join(part if at % 2 else _plain(part, pipes=False) for at, part in enumerate(parts))


def _plain(text: str, *, pipes: bool = True) -> str:
    for mark in "&<[*_|" if pipes else "&<[*_":
        text = text.replace(mark, f"&#{ord(mark)};")
    return text


def _anchor(kind: str) -> str:
    return kind.replace(" ", "-")


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "recipes": recipes,
    "parts": parts,
    "python": python,
}
