"""Every model of the matrix by name, `GROUP:NAME`, and the package that a group needs."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, cast

from torch import nn

from n2nsurgery.core.names import select

Inputs = Mapping[str, Any] | tuple[Any, ...]
"""Example inputs, by the argument of forward or by position."""


class Group(Protocol):
    """The models of one library; modules in `groups` satisfy this with plain functions."""

    def names(self) -> tuple[str, ...]:
        """The models' names, without the group."""
        ...

    def build(self, name: str) -> tuple[nn.Module, Inputs]:
        """A model, initialized from torch's global generator, and example inputs (batch 2)."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Home:
    module: str
    package: str


_HOMES: Mapping[str, _Home] = MappingProxyType(
    {
        "own": _Home(module="own_modules", package="torch"),
        "torchvision": _Home(module="torchvision_models", package="torchvision"),
        "timm": _Home(module="timm_families", package="timm"),
        "transformers": _Home(module="transformers_models", package="transformers"),
        "diffusers": _Home(module="diffusers_models", package="diffusers"),
        "smp": _Home(module="segmentation_models", package="segmentation_models_pytorch"),
        "monai": _Home(module="monai_models", package="monai"),
    }
)
GROUPS = tuple(_HOMES)


def names(pattern: str | None = None) -> tuple[str, ...]:
    """The names of all models, or of those that `pattern` matches (a glob, or an expression after `re:`).

    Of a library that is not installed, one name stands for all: `GROUP:*`. Raises UnknownNameError where nothing
    matches.
    """
    found = [
        f"{group}:{name}"
        for group in GROUPS
        for name in (_group(group).names() if missing_package(group) is None else ("*",))
    ]
    return tuple(found) if pattern is None else select(pattern, found, kind="model")


def build(name: str) -> tuple[nn.Module, Inputs]:
    """The model called `name` with its example inputs."""
    group, _, bare = name.partition(":")
    return _group(group).build(bare)


def missing_package(name: str) -> str | None:
    """The package that a group, or a model of it, needs and that is not installed; else None."""
    package = _HOMES[name.partition(":")[0]].package
    return None if importlib.util.find_spec(package) is not None else package


def _group(group: str) -> Group:
    return cast("Group", importlib.import_module(f"n2nsurgery.coverage.groups.{_HOMES[group].module}"))


def run_at(sizes: tuple[int | None, ...], make: Callable[[int | None], tuple[nn.Module, Inputs]]) -> Any:  # noqa: ANN401
    """What `make` returns for the first of `sizes` at which the model runs; the last is taken as it is.

    Small images are quick; some networks take none, so larger ones follow.
    """
    for size in sizes[:-1]:
        try:
            module, inputs = make(size)
            _run(module, inputs)
        except Exception:  # noqa: BLE001, S112 - whatever a network says of a size that it does not take
            continue
        return module, inputs
    return make(sizes[-1])


def _run(module: nn.Module, inputs: Inputs) -> None:
    was = module.training
    module.eval()
    try:
        module(**inputs) if isinstance(inputs, Mapping) else module(*inputs)
    finally:
        module.train(was)
