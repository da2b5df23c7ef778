"""From a recipe's file, and what the command line puts in its place, to a Recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from n2nsurgery.connectivity.graph.report_config import ReportConfig
from n2nsurgery.core.config.options import config_fields
from n2nsurgery.core.registry import Registry
from n2nsurgery.data.config import DataConfig
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.data.torch_data.factory_data import FactoryData
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.models.catalog import require_known
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.recipe.foreign import import_named, plugins_of
from n2nsurgery.recipe.node import Node
from n2nsurgery.recipe.overrides import Override, overridden
from n2nsurgery.recipe.reading import (
    BrokenError,
    Problems,
    keys_of,
    read_section,
    read_value,
    read_values,
    refuse_key,
)
from n2nsurgery.recipe.recipe import VERSION, ArtifactRequest, Recipe
from n2nsurgery.recipe.version_1 import renamed, upgraded
from n2nsurgery.recipe.yaml_text import read_yaml
from n2nsurgery.surgery.planning.config import WITH_OPTIONS, SurgeryConfig
from n2nsurgery.surgery.planning.planner import checked
from n2nsurgery.surgery.planning.presets import Preset
from n2nsurgery.training.config.config import MEMBERS, TrainConfig

T = TypeVar("T")
_SECTIONS = tuple(field.name for field in fields(Recipe))
_SEED = ("seed",)
_NO_SURGERY_KEYS = ("seed", *WITH_OPTIONS, *(f"{name}_options" for name in WITH_OPTIONS))
_SURGERY_KEYS = ("preset", "artifact", *WITH_OPTIONS)
_REGISTRIES: dict[str, Registry[Any]] = {
    each.name: each.option.registry for each in config_fields(SurgeryConfig) if each.option.registry is not None
}
_NAMED = (("model",), ("data",), *(("train", member) for member in MEMBERS))
_AROUND = tuple(each.name for each in config_fields(DataConfig))


def read_recipe(path: Path, overrides: Iterable[Override] = (), *, allow_import: bool = False) -> Recipe:
    """The recipe in the file `path` with `overrides` in place.

    `allow_import` permits to import its `plugins`, which runs their code; what was imported before is not refused.
    Raises InvalidFileError with file, line, column and key of everything that is wrong in the file, UsageError where
    only the overrides are.
    """
    document = _with_names(upgraded(read_yaml(path)))
    for override in map(renamed, overrides):
        document = _with_names(overridden(document, (override,)))
    import_named(document, allow_import=allow_import)
    return resolve(document)


def resolve(root: Node) -> Recipe:
    """The recipe that a document describes; errors as for `read_recipe`."""
    root = _with_names(upgraded(root))
    problems = Problems()
    recipe = None
    with problems.collected():
        recipe = _recipe(root, problems)
    problems.raise_any()
    assert recipe is not None
    return recipe


def resolve_data(root: Node) -> DataConfig:
    """The data section alone of a document that may have others; errors as for `read_recipe`."""
    problems = Problems()
    data = None
    with problems.collected():
        section = keys_of(root, "", problems).get("data")
        data = _data(root if section is None else section, problems)
    problems.raise_any()
    assert data is not None
    return data


def _with_names(root: Node) -> Node:
    """`root` with `data: mnist` as `data: {name: mnist}`, and so on, so that options can be set beside the names."""
    for path in _NAMED:
        root = _with_name(root, path)
    return root


def _with_name(node: Node, path: tuple[str, ...]) -> Node:
    if not path:
        return replace(node, content={"name": node}) if isinstance(node.content, str) else node
    first, *rest = path
    members = node.members or {}
    if first not in members:
        return node
    return replace(node, content={**members, first: _with_name(members[first], tuple(rest))})


def _recipe(root: Node, problems: Problems) -> Recipe:
    sections = keys_of(root, "", problems)
    for name in [name for name in sections if name not in _SECTIONS]:
        with problems.collected():
            refuse_key(name, sections.pop(name), "", _SECTIONS, problems)
    _require_version(sections.get("version"), root, problems)
    read = _Reader(root, sections, problems)
    seed = read("seed", _seed) if "seed" in sections else 0
    plugins = read("plugins", plugins_of)
    surgery = read("surgery", _surgery)
    model = read("model", _model, needed=not read.gives("surgery", "artifact"))
    data = read("data", _data, needed=True)
    train = read("train", _train, needed=True)
    export = read("export", _export)
    report = read("report", _report)
    if problems.found or data is None or train is None:
        raise BrokenError
    recipe = Recipe(
        seed=seed or 0,
        plugins=plugins or (),
        model=model,
        data=data,
        surgery=surgery,
        train=replace(train, seed=seed or 0),
        export=export,
        report=report,
    )
    for (section, key), problem in recipe.contradictions():
        problems.note((sections[section].members or {})[key].place, problem)
    if problems.found:
        raise BrokenError
    return recipe


class _Reader:
    """Reads the sections of one recipe, each by its function, and goes on where one is broken."""

    def __init__(self, root: Node, sections: dict[str, Node], problems: Problems) -> None:
        self._root = root
        self._sections = sections
        self._problems = problems

    def __call__(self, name: str, read: Callable[[Node, Problems], T], *, needed: bool = False) -> T | None:
        """The section `name`; None where it is absent, null or broken, which is noted where it is `needed`."""
        node = self._sections.get(name)
        if node is None or (node.content is None and name != "train"):
            if needed:
                place = self._root.place if node is None else node.place
                self._problems.note(place, f"the section '{name}' is missing; it has to be given")
            return None
        with self._problems.collected():
            return read(node, self._problems)
        return None

    def gives(self, name: str, key: str) -> bool:
        """Whether the section `name` has a value for `key`."""
        node = self._sections.get(name)
        member = (node.members or {}).get(key) if node is not None else None
        return member is not None and member.content is not None


def _require_version(node: Node | None, root: Node, problems: Problems) -> None:
    if node is None:
        problems.note(root.place, f"the version of the recipe's format is missing; begin with `version: {VERSION}`")
    elif node.content != VERSION or isinstance(node.content, bool):
        problems.note(node.place, f"version is {node.shown()}; this n2nsurgery reads version {VERSION}")


def _seed(node: Node, problems: Problems) -> int:
    seed: int = read_value(int, node, "seed", problems)
    if seed < 0:
        problems.note(node.place, f"seed is {seed}; it must be at least 0")
        raise BrokenError
    return seed


def _model(node: Node, problems: Problems) -> ModelConfig:
    name = (node.members or {}).get("name")
    with problems.collected():
        if name is not None and isinstance(name.content, str):
            called = name.content
            problems.made(lambda: require_known(called), name, "model.name")
    return read_section(ModelConfig, node, "model", problems)


def _train(node: Node, problems: Problems) -> TrainConfig:
    return read_section(TrainConfig, node, "train", problems, without=_SEED)


def _export(node: Node, problems: Problems) -> ExportConfig:
    return read_section(ExportConfig, node, "export", problems)


def _report(node: Node, problems: Problems) -> ReportConfig:
    return read_section(ReportConfig, node, "report", problems)


def _data(node: Node, problems: Problems) -> DataConfig:
    members = keys_of(node, "data", problems)
    if "name" not in members:
        problems.note(node.key_place, f"data.name is missing; known: {', '.join(DATA_SETS.names())}")
        raise BrokenError
    named = members.pop("name")
    name: str = read_value(str, named, "data.name", problems)
    own = {key: members.pop(key) for key in _AROUND if key in members}
    around: dict[str, Any] | None = None
    with problems.collected():
        around = read_values(DataConfig, replace(node, content=own), "data", problems, without=("name", "options"))
    options: Any = FactoryData(factory=name, options={key: each.plain() for key, each in members.items()})
    if ":" not in name:
        kind: type[Any] = problems.made(lambda: DATA_SETS.get(name), named, "data.name")
        options = read_section(kind, replace(node, content=members), "data", problems, also=_AROUND)
        name = DATA_SETS.canonical(name)
    if around is None:
        raise BrokenError
    given = around
    return problems.made(lambda: DataConfig(name=name, options=options, **given), node, "data")


def _surgery(node: Node, problems: Problems) -> SurgeryConfig | ArtifactRequest:
    members = keys_of(node, "surgery", problems)
    given = members.get("artifact")
    if given is None or given.content is None:
        members.pop("artifact", None)
        return _surgery_config(node, members, problems)
    others = [name for name, member in members.items() if name != "artifact" and member.content is not None]
    if others:
        problems.note(
            given.place,
            f"surgery.artifact is a pruning that was done before, and surgery.{others[0]} asks for another; "
            "leave one of them out",
        )
        raise BrokenError
    return read_section(ArtifactRequest, replace(node, content={"artifact": given}), "surgery", problems)


def _surgery_config(node: Node, members: dict[str, Node], problems: Problems) -> SurgeryConfig:
    values: dict[str, Any] = {}
    members = {name: member for name, member in members.items() if member.content is not None}  # null: the default
    preset = members.pop("preset", None)
    chosen: Preset | None = None
    named = {name: members.pop(name) for name in WITH_OPTIONS if name in members}
    with problems.collected():
        if preset is not None:
            chosen = read_value(Preset | None, preset, "surgery.preset", problems)
    with problems.collected():
        rest = replace(node, content=members)
        values |= read_values(SurgeryConfig, rest, "surgery", problems, without=_NO_SURGERY_KEYS, also=_SURGERY_KEYS)
    for name, given in named.items():
        with problems.collected():
            values |= _named(name, given, problems)
    if problems.found:
        raise BrokenError
    config = problems.made(lambda: SurgeryConfig.from_preset(chosen, **values), node, "surgery")
    problems.made(lambda: checked(config), node, "surgery")
    return config


def _named(field: str, node: Node, problems: Problems) -> dict[str, Any]:
    """A member by name, or `{name: grasp, temperature: 2}`, as the two fields of SurgeryConfig that hold it."""
    path, registry = f"surgery.{field}", _REGISTRIES[field]
    if node.members is None:
        name: str = read_value(str, node, path, problems)
        if (field, name) != ("skip", "none"):
            problems.made(lambda: registry.canonical(name), node, path)
        return {field: name}
    members = dict(node.members)
    named = members.pop("name", None)
    if named is None:
        problems.note(node.key_place, f"{path}.name is missing; known: {', '.join(registry.names())}")
        raise BrokenError
    name = read_value(str, named, f"{path}.name", problems)
    kind = problems.made(lambda: registry.get(name), named, f"{path}.name")
    rest = replace(node, content=members)
    options = read_values(kind, rest, path, problems, also=("name",))
    problems.made(lambda: kind(**options), rest, path)
    return {field: name, f"{field}_options": options}
