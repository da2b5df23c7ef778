"""The command line, recipes, the JSON schema and Python's keyword arguments have the same options, field by field."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

import pytest

import n2nsurgery
from n2nsurgery.connectivity.graph.report_config import ReportConfig, ReportOptions
from n2nsurgery.core.config.options import ConfigField, Range, config_fields
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.data.config import DataConfig, MixingConfig
from n2nsurgery.experiments.trials.sweep_request import SweepRequest
from n2nsurgery.export.compress.config import CompressConfig, CompressOptions
from n2nsurgery.export.config import ExportConfig, ExportOptions
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.models.weights_config import WeightsConfig, WeightsOptions
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest, NetworkOptions, PageRequest
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.pipelines.training.evaluate_request import EvaluationOptions, EvaluationRequest
from n2nsurgery.pipelines.training.train_request import TrainRequest
from n2nsurgery.recipe.resolve import resolve
from n2nsurgery.recipe.schema import json_schema
from n2nsurgery.recipe.yaml_text import parse_yaml
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.keywords import PairOptions, SurgeryOptions
from n2nsurgery.surgery.planning.presets import Preset
from n2nsurgery.training.config.config import MEMBERS, TrainConfig
from n2nsurgery.training.config.distillation import DistillationConfig
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.config.fading import FadingConfig
from n2nsurgery.training.config.keywords import TrainOptions
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.schedule import ScheduleConfig
from n2nsurgery_cli.commands.apply import apply as apply_command
from n2nsurgery_cli.commands.compress import compress as compress_command
from n2nsurgery_cli.commands.diff import diff as diff_command
from n2nsurgery_cli.commands.evaluate import evaluate as evaluate_command
from n2nsurgery_cli.commands.export import export as export_command
from n2nsurgery_cli.commands.inspect import inspect as inspect_command
from n2nsurgery_cli.commands.report import report as report_command
from n2nsurgery_cli.commands.sweep import sweep as sweep_command
from n2nsurgery_cli.commands.train import train as train_command
from n2nsurgery_cli.config_options import flag_of

FIELDS = {each.name: each for each in config_fields(SurgeryConfig)}
KEYS = [name for name in FIELDS if name != "seed" and not name.endswith("_options")]
"""Of a recipe's section: the seed is the recipe's, and options of a member stand beside its name."""
SECTION = json_schema()["properties"]["surgery"]["anyOf"][0]["properties"]


def options_of_the_command() -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(apply_command).parameters)


def keyword(each: ConfigField) -> Any:
    """The type of a field as a caller may give it: any sequence for a tuple, an object for the name of a member."""
    if each.option.registry is not None:
        return each.hint | object
    if each.name in MEMBERS:
        return each.hint | str
    return Sequence[str] if each.hint == tuple[str, ...] else each.hint


@pytest.mark.parametrize("name", FIELDS)
def test_the_command_has_an_option_for_the_field(name):
    parameter = options_of_the_command()[name]
    _, option = get_args(parameter.annotation)
    assert flag_of(name) in (option.default, *option.param_decls)  # typer takes the first declaration for a default
    assert option.help.startswith(FIELDS[name].option.help)
    assert parameter.default is None  # left out, so that the config says it
    choices = FIELDS[name].choices
    listed = "|".join(choices)
    assert not choices or FIELDS[name].option.metavar or option.metavar in {listed, "NAME"}
    assert [option.autocompletion(first[:2]) for first in choices if first[:2]] == [
        [each for each in choices if each.startswith(first[:2])] for first in choices
    ]


def test_the_command_has_no_option_of_surgery_beside_the_fields_and_the_preset():
    own = {"model", "preset", "json", "quiet", "verbose"}
    request = {each.name for each in config_fields(ApplyRequest)}
    former = {f"former_{name}" for name, each in FIELDS.items() if each.option.former is not None}
    assert options_of_the_command().keys() == {*FIELDS, *own, *request, *former}


def test_python_takes_the_fields_as_keywords_of_the_same_types():
    hints = get_type_hints(SurgeryOptions)
    assert hints == {name: keyword(each) for name, each in FIELDS.items() if name != "criterion"}
    assert get_type_hints(PairOptions).items() <= hints.items()


def test_editors_and_notebooks_see_every_keyword_with_its_default():
    shown = inspect.signature(n2nsurgery.apply).parameters
    assert {
        name: (each.default, each.annotation) for name, each in shown.items() if name in SurgeryOptions.__annotations__
    } == {name: (each.default, each.hint) for name, each in FIELDS.items() if name != "criterion"}
    others = ["model_or_name", "example_inputs", "data", "loss", "config", "preset", "criterion", "inplace"]
    assert [name for name in shown if name not in SurgeryOptions.__annotations__] == others
    pairs = inspect.signature(n2nsurgery.inspect).parameters
    assert [name for name in pairs if name in FIELDS] == [
        "seed",
        *(n for n in FIELDS if n in get_type_hints(PairOptions)),
    ]


def test_a_recipes_section_and_the_schema_have_the_fields_as_keys():
    assert [name for name in SECTION if name != "preset"] == KEYS
    text = "version: 2\nmodel: {name: mlp}\ndata: {name: fake}\ntrain: {}\nsurgery: {density: 0.1}\n"
    assert list(resolve(parse_yaml(text, "r.yaml")).to_json()["surgery"]) == KEYS


def kinds(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a schema allows, at its top."""
    if "anyOf" in schema:
        return {kind for each in schema["anyOf"] for kind in kinds(each)}
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return {"string"} if values else {schema["type"]}


JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}


def expected_kinds(each: ConfigField) -> set[str]:
    if each.hint == tuple[str, ...]:
        return {"array"}
    if "Mapping" in str(each.hint):
        return {"object"}
    parts = get_args(each.hint) or (each.hint,)
    found = {JSON_TYPES[part] for part in parts if part in JSON_TYPES}
    named = {"object"} if each.option.registry is not None else set()  # the name with options
    return found | named | ({"string"} if each.literals else set())


@pytest.mark.parametrize("name", [name for name in KEYS if name != "criterion"])
def test_the_schema_says_type_default_choices_range_and_help_of_the_field(name):
    each, schema = FIELDS[name], SECTION[name]
    assert kinds(schema) == expected_kinds(each)
    default = list(each.default) if isinstance(each.default, tuple) else each.default
    assert schema.get("default", {}) == default
    assert schema["description"] == each.option.help
    text = str(schema)
    assert all(repr(choice) in text for choice in each.choices)
    bounds = {"minimum": "least", "exclusiveMinimum": "above", "maximum": "most", "exclusiveMaximum": "below"}
    for word, bound in bounds.items():
        value = getattr(each.option.within, bound, None)
        assert (f"'{word}': {value}" in text) == (value is not None)


def test_the_schema_lists_each_criterion_by_name_and_with_its_options():
    named, text, *objects = SECTION["criterion"]["anyOf"]
    assert named["enum"] == list(FIELDS["criterion"].choices)
    assert text == {"type": "string"}
    assert [each["properties"]["name"]["const"] for each in objects] == named["enum"]
    grasp = next(each for each in objects if each["properties"]["name"]["const"] == "grasp")
    assert grasp["properties"].keys() == {"name", "temperature", "mode"}


def test_the_preset_is_one_everywhere():
    (names, _none) = SECTION["preset"]["anyOf"]
    assert names["enum"] == list(get_args(Preset))
    assert options_of_the_command()["preset"].default is None
    assert inspect.signature(n2nsurgery.apply).parameters["preset"].default is None


WRONG = {
    "skip_ratio": (1.5, "it must be in [0, 1) or 'auto'"),
    "num_pairs": (0, "it must be a whole number from 1 or left out"),
    "density": (0.0, "it must be in (0, 1] or left out"),
}


@pytest.mark.parametrize(("name", "value", "allowed"), [(name, *wrong) for name, wrong in WRONG.items()])
def test_each_front_end_tells_a_wrong_value_in_its_own_spelling(name, value, allowed):
    given = {"density": 0.1, name: value}
    with pytest.raises(n2nsurgery.N2NSurgeryError) as in_python:
        SurgeryConfig(**given)
    assert str(in_python.value) == f"{name} is {value}; {allowed}"
    section = ", ".join(f"{key}: {number}" for key, number in given.items())
    text = f"version: 2\nmodel: {{name: mlp}}\ndata: {{name: fake}}\ntrain: {{}}\nsurgery: {{{section}}}\n"
    with pytest.raises(InvalidFileError) as in_a_recipe:
        resolve(parse_yaml(text, "r.yaml"))
    column = len("surgery: {") + section.index(f"{name}: ") + len(name) + 3
    assert str(in_a_recipe.value) == f"r.yaml:5:{column}: surgery.{name} is {value}; {allowed}"
    assert in_python.value.spelled(flag_of(name)) == f"--{name.replace('_', '-')} is {value}; {allowed}"


EXPORT = {each.name: each for each in config_fields(ExportConfig)}


def test_the_options_of_an_export_are_the_same_everywhere():
    command = inspect.signature(export_command).parameters
    shown = inspect.signature(n2nsurgery.export_onnx).parameters
    (section, _none) = json_schema()["properties"]["export"]["anyOf"]
    assert list(section["properties"]) == list(EXPORT) == list(get_type_hints(ExportOptions))
    assert get_type_hints(ExportOptions) == {name: each.hint for name, each in EXPORT.items()}
    for name, each in EXPORT.items():
        _, option = get_args(command[name].annotation)
        assert option.help.startswith(each.option.help)
        assert option.metavar == (each.option.metavar or "|".join(each.choices) or None)
        assert (shown[name].default, shown[name].annotation) == (each.default, each.hint)
        schema = section["properties"][name]
        assert (schema["default"], schema["description"]) == (each.default, each.option.help)
        assert schema.get("enum", []) == list(each.choices)


def test_the_options_of_a_compression_are_the_same_everywhere():
    command = inspect.signature(compress_command).parameters
    shown = inspect.signature(n2nsurgery.compress).parameters
    described = {each.name: each for each in config_fields(CompressConfig)}
    assert get_type_hints(CompressOptions) == {name: each.hint for name, each in described.items()}
    for name, each in described.items():
        _, option = get_args(command[name].annotation)
        assert option.help.startswith(each.option.help)
        assert shown[name].annotation == each.hint


def test_the_weights_of_a_model_are_named_the_same_everywhere():
    (section, _name, _none) = json_schema()["properties"]["model"]["anyOf"]
    described = {each.name: each for each in config_fields(WeightsConfig)}
    assert get_type_hints(WeightsOptions) == {name: each.hint for name, each in described.items()}
    for command in (apply_command, inspect_command):
        parameters = inspect.signature(command).parameters
        for name, each in described.items():
            _, option = get_args(parameters[name].annotation)
            assert option.help.startswith(each.option.help)
            assert parameters[name].default is None
    for name, each in described.items():
        assert section["properties"][name]["description"] == each.option.help
    for config in (ModelConfig, ApplyRequest):
        assert [each for each in config_fields(config) if each.name in described] == list(described.values())


def options_are_those_of(config: type, command: Any, *, beside: set[str]) -> None:
    """The options of a command are the fields of its config, word for word, and `beside` them no other."""
    parameters = inspect.signature(command).parameters
    described = {each.name: each for each in config_fields(config)}
    for name, each in described.items():
        _, option = get_args(parameters[name].annotation)
        assert flag_of(name) in (option.default, *option.param_decls)
        assert option.help.startswith(each.option.help)
        assert option.rich_help_panel == each.option.group
        listed = "|".join(each.choices)
        if each.hint is not bool:
            assert option.metavar == (each.option.metavar or listed or "NAME")
        needed = each.default is MISSING
        assert parameters[name].default is (inspect.Parameter.empty if needed else None)
    assert parameters.keys() - described.keys() == beside | {"json", "quiet", "verbose"}


def test_the_options_of_the_commands_are_the_fields_of_their_requests():
    options_are_those_of(TrainRequest, train_command, beside={"recipe"})
    options_are_those_of(EvaluationRequest, evaluate_command, beside={"folder"})
    options_are_those_of(SweepRequest, sweep_command, beside={"recipe"})
    options_are_those_of(GraphRequest, diff_command, beside={"a", "b", "html", "output", "overwrite"})
    page = {each.name for each in config_fields(PageRequest)}
    options_are_those_of(GraphRequest, report_command, beside={"model", *page})


def keywords_are_those_of(config: type, keywords: type, function: Any) -> None:
    described = {each.name: each for each in config_fields(config)}
    shown = inspect.signature(function).parameters
    for name, hint in get_type_hints(keywords).items():
        assert hint == described[name].hint
        assert (shown[name].default, shown[name].annotation) == (described[name].default, hint)


def test_python_evaluates_with_the_fields_of_the_request_as_keywords():
    keywords_are_those_of(EvaluationRequest, EvaluationOptions, n2nsurgery.evaluate)
    of_the_command_alone = {"overrides", "data"}  # in Python, data may be an object
    described = {each.name for each in config_fields(EvaluationRequest)}
    assert described - set(get_type_hints(EvaluationOptions)) == of_the_command_alone
    assert inspect.signature(n2nsurgery.evaluate).parameters.keys() >= {"data"}


@pytest.mark.parametrize("function", [n2nsurgery.report, n2nsurgery.diff])
def test_the_options_of_a_report_are_the_same_everywhere(function):
    keywords_are_those_of(GraphRequest, NetworkOptions, function)
    assert [each.name for each in config_fields(GraphRequest)] == list(get_type_hints(NetworkOptions))
    described = {each.name: each for each in config_fields(ReportConfig)}
    (section, _none) = json_schema()["properties"]["report"]["anyOf"]
    assert list(section["properties"]) == list(described) == list(get_type_hints(ReportOptions))
    for name, each in described.items():
        schema = section["properties"][name]
        assert (schema["default"], schema["description"]) == (each.default, each.option.help)
        assert schema.get("enum", []) == list(each.choices)
    assert section["properties"]["max_nodes"]["minimum"] == 1


def test_training_a_recipe_from_python_allows_and_fetches_what_the_command_does():
    shown = inspect.signature(n2nsurgery.train).parameters
    described = {each.name: each for each in config_fields(TrainRequest)}
    for name in ("allow_import", "download", "data_root"):
        assert shown[name].default == described[name].default


TRAIN = {each.name: each for each in config_fields(TrainConfig)}
OBJECTS = {"loss", "metrics", "optimizer"}
"""What Python takes as objects, beside the keywords that are fields."""


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig, OptimizerConfig, ScheduleConfig, DistillationConfig, DynamicsConfig, FadingConfig, ModelConfig,
        MixingConfig,
    ],
)  # fmt: skip
def test_every_field_of_a_section_says_what_it_means_in_the_schema(config):
    schema = json_schema()
    model, _name, _none = schema["properties"]["model"]["anyOf"]
    sections = {**schema["$defs"], "TrainConfig": schema["properties"]["train"], "ModelConfig": model}
    properties = sections[config.__name__]
    described = {each.name: each for each in config_fields(config)}
    assert list(described) == [each.name for each in fields(config)]
    assert list(properties["properties"]) == [name for name in described if (config, name) != (TrainConfig, "seed")]
    for name, part in properties["properties"].items():
        each, text = described[name], str(part)
        assert part["description"] == each.option.help
        assert all(repr(choice) in text for choice in each.choices)
        within = each.option.within or Range()
        bounds = {"minimum": within.least, "exclusiveMinimum": within.above}
        bounds |= {"maximum": within.most, "exclusiveMaximum": within.below}
        assert {word: value for word, value in bounds.items() if f"'{word}'" in text} == {
            word: value for word, value in bounds.items() if value is not None
        }
        assert all(f"'{word}': {value}" in text for word, value in bounds.items() if value is not None)


def test_a_recipe_shows_every_field_of_training():
    text = "version: 2\nmodel: {name: mlp}\ndata: {name: fake}\ntrain: {}\n"
    shown = resolve(parse_yaml(text, "r.yaml")).to_json()["train"]
    assert list(shown) == [name for name in TRAIN if name != "seed"]
    assert list(shown["optimizer"]) == [each.name for each in config_fields(OptimizerConfig)]
    assert list(shown["schedule"]) == [each.name for each in config_fields(ScheduleConfig)]


def test_python_trains_with_the_fields_as_keywords():
    expected = {name: each for name, each in TRAIN.items() if name not in OBJECTS}
    assert get_type_hints(TrainOptions) == {name: keyword(each) for name, each in expected.items()}
    shown = inspect.signature(n2nsurgery.train).parameters
    assert {name: (each.default, each.annotation) for name, each in shown.items() if name in expected} == {
        name: (each.default, each.hint) for name, each in expected.items()
    }
    assert shown.keys() >= OBJECTS


def test_the_keys_around_a_data_sets_own_are_the_fields_of_its_config():
    described = {each.name: each for each in config_fields(DataConfig)}
    assert ["name", "options", *described] == [each.name for each in fields(DataConfig)]
    for section in json_schema()["properties"]["data"]["oneOf"][:-1]:  # the last is a name alone
        for name, each in described.items():
            part = section["properties"][name]
            assert (part["description"], part["default"]) == (each.option.help, each.default)
        assert section["properties"]["workers"]["minimum"] == 0
    text = "version: 2\nmodel: {name: mlp}\ndata: {name: fake}\ntrain: {}\n"
    assert resolve(parse_yaml(text, "r.yaml")).to_json()["data"].keys() >= {"name", *described}
