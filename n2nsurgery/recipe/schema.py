"""The JSON schema of recipes, for editors that complete and check while one is written; made from the sections' types.

Types and names stand in it, ranges and contradictions do not: those are told by reading the recipe.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from n2nsurgery.connectivity.graph.request import ReportRequest
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.data.request import DataRequest
from n2nsurgery.export.request import ExportRequest
from n2nsurgery.models.request import ModelRequest
from n2nsurgery.recipe.recipe import VERSION
from n2nsurgery.surgery.planning.request import ArtifactRequest, SurgeryRequest
from n2nsurgery.training.config.config import TrainConfig

Schema = dict[str, Any]
_NULL: Schema = {"type": "null"}


def json_schema() -> Schema:
    """The schema (JSON Schema, draft 2020-12) as JSON values."""
    shared: Schema = {}
    surgery = [_section(SurgeryRequest, shared), _section(ArtifactRequest, shared), _NULL]
    properties: Schema = {
        "version": {"const": VERSION},
        "seed": {"type": "integer", "minimum": 0, "default": 0},
        "model": {"anyOf": [_section(ModelRequest, shared), _NULL]},
        "data": {"oneOf": [_data_set(name, shared) for name in DATA_SETS.names()]},
        "surgery": {"anyOf": surgery},
        "train": _section(TrainConfig, shared, without=("seed",)),
        "export": {"anyOf": [_section(ExportRequest, shared), _NULL]},
        "report": {"anyOf": [_section(ReportRequest, shared), _NULL]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "n2nsurgery recipe",
        **_object(properties, ("version", "data", "train")),
        "$defs": shared,
    }


def _section(kind: Any, shared: Schema, *, without: Collection[str] = ()) -> Schema:  # noqa: ANN401 - a dataclass
    """The schema of one section; dataclasses inside of it go into `shared`."""
    schema = TypeAdapter(kind).json_schema(ref_template="#/$defs/{model}")
    inner: Schema = schema.pop("$defs", {})
    shared |= {name: _closed(entry) for name, entry in inner.items()}
    for name in without:
        schema["properties"].pop(name, None)
    return _closed(schema)


def _data_set(name: str, shared: Schema) -> Schema:
    """The schema of the data section where the data set is `name`."""
    options = _section(DATA_SETS.get(name), shared)
    hints = get_type_hints(DataRequest)
    around = {
        field.name: {**_section(hints[field.name], shared), "default": field.default}
        for field in fields(DataRequest)
        if field.name not in {"name", "options"}
    }
    return _object({"name": {"const": name}, **around, **options["properties"]}, ("name", *options["required"]))


def _closed(schema: Schema) -> Schema:
    """`schema` of an object without further keys; anything else as it is."""
    if "properties" not in schema:
        return schema
    described = {"description": schema["description"]} if "description" in schema else {}
    return {**described, **_object(schema["properties"], schema.get("required", ()))}


def _object(properties: Schema, required: Collection[str]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}
