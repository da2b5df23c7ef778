"""Models from a folder that Transformers saved (`hf:FOLDER`): its configuration, and its weights where it has any.

Nothing is fetched, and no code in the folder is run: the class has to be one of the installed Transformers. What a
ModelSpec keeps is the configuration itself, so that an artifact builds the model again without the folder.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.imports import extra
from n2nsurgery.models.sources.hf_inputs import inputs_of
from n2nsurgery.models.sources.source import Arguments, Design, InputSize, StateDict, call_builder

_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_OWN = "DEFAULT"


def names() -> tuple[str, ...]:
    """Nothing: folders are not listed."""
    return ()


def design(name: str, requested: Arguments, *, input_size: InputSize | None, weights: str | None) -> Design:
    """The folder's configuration with what was requested in it, and example inputs by what the class takes."""
    folder = Path(name)
    _require_own(name, weights)
    given = _read(folder)
    config = {key: value for key, value in given.items() if key not in {"auto_map", "use_cache"}} | {"use_cache": False}
    changes = dict(requested)
    if (classes := changes.pop("num_classes", None)) is not None:
        config = {key: value for key, value in config.items() if key not in {"id2label", "label2id"}}
        config["num_labels"] = classes
    arguments = {"architecture": _architecture(given), "config": config | changes}
    kind, made = _class_and_config(name, arguments)
    inputs = inputs_of(kind, made, input_size)
    return Design(
        arguments=arguments,
        input_shapes=tuple(each.shape for each in inputs),
        input_names=tuple(each.name for each in inputs),
        input_ids=tuple(each.ids for each in inputs),
        weights=_OWN if weights is not None or any((folder / file).is_file() for file in _WEIGHTS) else None,
    )


def build(name: str, arguments: Arguments) -> nn.Module:
    """The model without the folder's weights."""
    kind, config = _class_and_config(name, arguments)
    return call_builder(lambda **_: cast("nn.Module", kind(config)), name, {}).float()


def pretrained(name: str, weights: str, *, download: bool) -> tuple[str, StateDict]:  # noqa: ARG001 - nothing is fetched
    """The folder's weights, as Transformers reads them into the class that the folder names."""
    _require_own(name, weights)
    arguments = {"architecture": _architecture(_read(Path(name))), "config": _read(Path(name))}
    kind, config = _class_and_config(name, arguments)
    with torch.random.fork_rng(devices=[]):  # what the files lack is drawn
        try:
            model = kind.from_pretrained(name, config=config, local_files_only=True, dtype=torch.float32)
        except (OSError, RuntimeError, ValueError) as error:
            raise InvalidFileError(f"the weights in '{name}' cannot be read: {error}") from error
    state: StateDict = model.state_dict()
    return f"hf:{Path(name).name}", state


def _read(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"'{folder}' is not a folder with a {_CONFIG}, as model.save_pretrained(FOLDER) of Transformers writes;"
            " models are not fetched by their names"
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidFileError(f"'{folder / _CONFIG}' cannot be read as JSON: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InvalidFileError(f"'{folder / _CONFIG}' names no model_type: it is not a configuration of Transformers")
    return config


def _architecture(config: Mapping[str, Any]) -> str | None:
    """The class that was saved; None: the type's bare model."""
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else None


def _class_and_config(name: str, arguments: Arguments) -> tuple[Any, Any]:
    """The class of a model and its configuration; UsageError where the installed Transformers has none."""
    transformers = _transformers()
    given = dict(arguments["config"])
    kinds = transformers.CONFIG_MAPPING
    model_type = given.pop("model_type", None)
    if model_type not in kinds:
        raise UsageError(
            f"'{name}' is of the type '{model_type}', which Transformers {transformers.__version__} does not have;"
            " code that comes with a model is not run"
        )
    config = kinds[model_type].from_dict(given)
    architecture = arguments["architecture"]
    kind = getattr(transformers, architecture, None) if architecture else transformers.MODEL_MAPPING.get(type(config))
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise UsageError(
            f"'{name}' is a {architecture}, which is not a model of Transformers {transformers.__version__}"
        )
    return kind, config


def _require_own(name: str, weights: str | None) -> None:
    if weights not in {None, _OWN}:
        raise UsageError(
            f"is '{weights}', and '{name}' has its own alone ({_OWN}); or give a file: .safetensors, .pth",
            field="weights",
            joint=" ",
        )


def _transformers() -> ModuleType:
    with extra("transformers", "a model of Transformers"):
        return importlib.import_module("transformers")
