"""Models of timm, the optional package, under the names `timm:<name>`."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from torch import nn

from n2nsurgery.core.errors import RunError
from n2nsurgery.core.names import unknown
from n2nsurgery.imports import extra
from n2nsurgery.models.sources.source import Arguments, Design, InputSize, Shape, StateDict, call_builder, sized

_IMAGE = (3, 224, 224)


def names() -> tuple[str, ...]:
    """Every model of the installed timm, without the tags of its weights."""
    return tuple(_timm().list_models())


def design(name: str, requested: Arguments, *, input_size: InputSize | None, weights: str | None) -> Design:  # noqa: ARG001 - one interface
    """The input size of the model's default configuration; models of a fixed size are built for another one."""
    default, fixed = _configuration(name)
    shape = sized(default, input_size)
    arguments = dict(requested)
    if fixed and shape[1:] != default[1:]:
        arguments["img_size"] = list(shape[1:])
    return Design(arguments=arguments, input_shapes=(shape,))


def build(name: str, arguments: Arguments) -> nn.Module:
    """The model without pretrained weights."""
    _configuration(name)
    return call_builder(lambda **given: _timm().create_model(name, pretrained=False, **given), name, arguments)


def pretrained(name: str, weights: str, *, download: bool) -> tuple[str, StateDict]:
    """The weights of timm's own tag (`DEFAULT`, or the tag), which come through the Hugging Face cache.

    Their cache cannot be asked without network access, so `download` has to be allowed even for cached files.
    """
    tagged = name if weights == "DEFAULT" else f"{name.partition('.')[0]}.{weights}"
    _configuration(tagged)
    if not download:
        raise RunError(f"timm fetches the weights of '{tagged}' from the Hugging Face Hub; allow it with --download")
    try:
        state: StateDict = _timm().create_model(tagged, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        raise RunError(f"timm could not load the weights of '{tagged}': {error}") from error
    return f"timm:{tagged}", state


def _configuration(name: str) -> tuple[Shape, bool]:
    """Default shape of one sample, and whether the network is built for that size alone."""
    timm = _timm()
    if not timm.is_model(name):
        raise unknown("timm model", name, names())
    try:
        found: Any = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise unknown("timm model", name, timm.list_pretrained(f"{name.partition('.')[0]}.*")) from error
    return (tuple(found.input_size), bool(found.fixed_input_size)) if found is not None else (_IMAGE, False)


def _timm() -> ModuleType:
    with extra("timm", "a model of timm"):
        return importlib.import_module("timm")
