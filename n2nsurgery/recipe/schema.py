"""The JSON schema of recipes, for editors that complete and check while one is written; made from the sections' types.

Types, names, ranges and help stand in it, contradictions do not: those are told by reading the recipe.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import is_dataclass
from typing import Any, get_args

from pydantic import TypeAdapter

from n2nsurgery.connectivity.graph.report_config import ReportConfig
from n2nsurgery.core.config.options import ConfigField, Range, config_fields
from n2nsurgery.data.config import DataConfig, MixingConfig
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.recipe.recipe import VERSION, ArtifactRequest
from n2nsurgery.surgery.planning.config import WITH_OPTIONS, SurgeryConfig
from n2nsurgery.surgery.planning.presets import PRESET_HELP, Preset
from n2nsurgery.training.config.config import MEMBERS, TrainConfig

Schema = dict[str, Any]
_NULL: Schema = {"type": "null"}
_NAME: Schema = {"type": "string", "description": "a data set without options, or package.module:factory"}


def json_schema() -> Schema:
    """The schema (JSON Schema, draft 2020-12) as JSON values."""
    shared: Schema = {}
    surgery = [_surgery(shared), _section(ArtifactRequest, shared), _NULL]
    properties: Schema = {
        "version": {"const": VERSION},
        "seed": {"type": "integer", "minimum": 0, "default": 0},
        "plugins": {"type": "array", "items": {"type": "string"}, "default": []},
        "model": {"anyOf": [_section(ModelConfig, shared), {"type": "string"}, _NULL]},
        "data": {"oneOf": [*(_data_set(name, shared) for name in DATA_SETS.names()), _factory(shared), _NAME]},
        "surgery": {"anyOf": surgery},
        "train": _train(shared),
        "export": {"anyOf": [_section(ExportConfig, shared), _NULL]},
        "report": {"anyOf": [_section(ReportConfig, shared), _NULL]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "n2nsurgery recipe",
        **_object(properties, ("version", "data", "train")),
        "$defs": shared,
    }


def _train(shared: Schema) -> Schema:
    """The schema of the train section; where a member needs no options, its name may stand alone."""
    schema = _section(TrainConfig, shared, without=("seed",))
    for name in MEMBERS:
        described = schema["properties"][name]
        reference = {key: described.pop(key) for key in ("$ref",) if key in described}
        described["anyOf"] = [*described.get("anyOf", [reference]), {"type": "string"}]
    return schema


def _surgery(shared: Schema) -> Schema:
    """The schema of the surgery section: members with their options, and a preset beside the config's fields."""
    schema = _section(SurgeryConfig, shared, without=("seed", *(f"{name}_options" for name in WITH_OPTIONS)))
    for each in config_fields(SurgeryConfig):
        if (members := each.option.registry) is not None:
            named = [_named(name, members.get(name), shared) for name in members.names()]
            schema["properties"][each.name]["anyOf"] += named
    presets = [{"enum": list(get_args(Preset))}, _NULL]
    schema["properties"]["preset"] = {"anyOf": presets, "default": None, "description": PRESET_HELP}
    return schema


def _named(name: str, kind: type[Any], shared: Schema) -> Schema:
    """The schema of `{name: ..., option: ...}` for one member of a registry."""
    return _object({"name": {"const": name}, **_section(kind, shared)["properties"]}, ("name",))


def _section(kind: Any, shared: Schema, *, without: Collection[str] = ()) -> Schema:  # noqa: ANN401 - a dataclass
    """The schema of one section; dataclasses inside of it go into `shared`."""
    schema = TypeAdapter(kind).json_schema(ref_template="#/$defs/{model}")
    inner: Schema = schema.pop("$defs", {})
    shared |= {name: _closed(entry) for name, entry in inner.items()}
    for name in without:
        schema["properties"].pop(name, None)
    if is_dataclass(kind) and isinstance(kind, type):
        _describe(kind, schema, shared)
    return _closed(schema)


def _describe(kind: type, schema: Schema, shared: Schema) -> None:
    """Add what the fields of the config `kind` say to the properties of its `schema`, and to those of its sections."""
    for each in config_fields(kind):
        if each.name in schema["properties"]:
            schema["properties"][each.name] = _described(each, schema["properties"][each.name])
        _describe_sections(each.hint, shared)


def _describe_sections(hint: Any, shared: Schema) -> None:  # noqa: ANN401 - a type
    """Do the same for the configs that the type of a field holds."""
    for part in (hint, *get_args(hint)):
        if isinstance(part, type) and part.__name__ in shared:
            _describe(part, shared[part.__name__], shared)


def _described(each: ConfigField, schema: Schema) -> Schema:
    """The `schema` of an option's type with its help, its range and the names of its registry."""
    described = {**schema, "description": each.option.help}
    if each.option.within is not None:
        described = _bounded(described, each.option.within)
    if each.option.registry is not None:  # plugins add names, so that text is right as well
        names = {"enum": list(each.choices)}
        described["anyOf"] = [names, *schema.get("anyOf", [{"type": "string"}])]
        described.pop("type", None)
    return described


def _bounded(schema: Schema, within: Range) -> Schema:
    """`schema` with the range at every number inside of it."""
    if schema.get("type") in {"integer", "number"}:
        keywords = {"minimum": within.least, "exclusiveMinimum": within.above, "maximum": within.most}
        keywords["exclusiveMaximum"] = within.below
        return {**schema, **{name: value for name, value in keywords.items() if value is not None}}
    inner: Schema = {
        name: _bounded(schema[name], within)
        for name in ("items", "additionalProperties")
        if isinstance(schema.get(name), dict)
    }
    for name in ("anyOf", "prefixItems"):
        if name in schema:
            inner[name] = [_bounded(each, within) for each in schema[name]]
    return {**schema, **inner}


def _data_set(name: str, shared: Schema) -> Schema:
    """The schema of the data section where the data set is `name`."""
    options = _section(DATA_SETS.get(name), shared)
    properties = {"name": {"const": name}, **_around(shared), **options["properties"]}
    return _object(properties, ("name", *options["required"]))


def _factory(shared: Schema) -> Schema:
    """The schema of the data section where a factory of a user's own makes the data; its options are not known."""
    named = {"type": "string", "pattern": ":", "description": "package.module:factory"}
    return {**_object({"name": named, **_around(shared)}, ("name",)), "additionalProperties": True}


def _around(shared: Schema) -> Schema:
    """What stands beside the options of any data set."""
    described = {
        each.name: _described(each, {**_section(each.hint, shared), "default": each.default})
        for each in config_fields(DataConfig)
    }
    _describe_sections(MixingConfig, shared)
    return described


def _closed(schema: Schema) -> Schema:
    """`schema` of an object without further keys; anything else as it is."""
    if "properties" not in schema:
        return schema
    described = {"description": schema["description"]} if "description" in schema else {}
    return {**described, **_object(schema["properties"], schema.get("required", ()))}


def _object(properties: Schema, required: Collection[str]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}
