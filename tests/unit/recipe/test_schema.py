from __future__ import annotations

import pytest

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.recipe.resolve import resolve
from n2nsurgery.recipe.schema import json_schema
from n2nsurgery.recipe.starter import starter
from n2nsurgery.recipe.yaml_text import parse_yaml

SCHEMA = json_schema()


def objects(schema):
    """Every schema of an object inside of `schema`."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def test_no_object_takes_further_keys_but_data_of_ones_own_and_every_reference_is_there():
    open_ended = [entry for entry in objects(SCHEMA) if entry["additionalProperties"] is not False]
    assert [entry["properties"]["name"]["pattern"] for entry in open_ended] == [":"]
    references = {word for word in str(SCHEMA).replace("'", " ").split() if word.startswith("#/$defs/")}
    assert references
    assert {reference.removeprefix("#/$defs/") for reference in references} <= SCHEMA["$defs"].keys()


@pytest.mark.parametrize("name", DATA_SETS.names())
def test_the_schema_knows_exactly_the_keys_of_a_resolved_recipe(name):
    recipe = resolve(parse_yaml(starter("cifar-plain17", name), "starter.yaml")).to_json()
    sets = {entry["properties"]["name"].get("const"): entry for entry in objects(SCHEMA["properties"]["data"])
            if "name" in entry["properties"]}  # fmt: skip
    assert sets[name]["properties"].keys() == recipe["data"].keys()
    assert SCHEMA["properties"].keys() == recipe.keys()
    for section, value in recipe.items():
        known = [entry["properties"].keys() for entry in objects(SCHEMA["properties"][section])]
        known += [keys - {"preset"} for keys in known]  # resolved, its values stand in place of its name
        assert not isinstance(value, dict) or value.keys() in known, section


def uncommented(text: str) -> str:
    """The starter with every default in its place as a value."""
    lines = text.splitlines()
    return "\n".join(line.replace("# ", "", 1) if line.startswith("  ") else line for line in lines)


@pytest.mark.parametrize("name", DATA_SETS.names())
def test_the_defaults_of_a_starter_are_the_defaults(name):
    text = starter("cifar-plain17", name)
    as_it_stands = resolve(parse_yaml(text, "starter.yaml"))
    spelled_out = resolve(parse_yaml(uncommented(text), "starter.yaml"))
    assert spelled_out == as_it_stands
    assert text.count("\n") > 60


def test_a_starter_for_unknown_data_is_refused():
    with pytest.raises(UsageError, match=r"^--data cifar11: .*unknown data set 'cifar11'"):
        starter("mlp", "cifar11")
