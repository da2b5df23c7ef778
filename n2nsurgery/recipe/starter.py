"""A recipe to start from: what was chosen, and every other key with its default as a comment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from n2nsurgery.recipe.overrides import option_override, overridden
from n2nsurgery.recipe.recipe import VERSION
from n2nsurgery.recipe.resolve import resolve
from n2nsurgery.recipe.yaml_text import parse_yaml

_HEAD = """\
# A recipe of n2nsurgery: `n2nsurgery train FILE` carries it out, `n2nsurgery recipe check FILE` only reads it.
# Lines behind a # are the defaults; `--set train.epochs=5` replaces a value for one run.
"""
_ABOUT = {
    "model": "which network: a name of `n2nsurgery models`, timm:NAME or package.module:factory",
    "data": "what it is trained on; null stands for the data set's own choice",
    "surgery": "what is pruned and grafted; without this section the dense model is trained",
    "train": "how; batch_size counts the samples of one step over all processes",
    "export": "the best weights as an ONNX file after training; without this section there is none",
    "report": "a page on how well the trained network is connected; without this section there is none",
}
_SURGERY_OPTIONS = ("density", "sparsity", "compression")


def starter(model: str, data: str) -> str:
    """The text of a recipe for `model` on `data`; raises UsageError for names that are unknown."""
    chosen: dict[str, Any] = {
        "version": VERSION,
        "seed": 0,
        "model": {"name": model},
        "data": {"name": data},
        "surgery": {"density": 0.05},
        "train": {"epochs": 30, "batch_size": 128, "optimizer": {"lr": 0.05}, "schedule": {"name": "cosine"}},
        "export": {"format": "portable"},
        "report": {"conductance": "l1"},
    }
    named = option_override("data.name", data, "--data")
    whole = resolve(overridden(parse_yaml(json.dumps(chosen), "the starter"), [named])).to_json()
    return "\n".join([_HEAD, *_lines(whole, chosen, 0)]) + "\n"


def _lines(whole: Mapping[str, Any], chosen: Mapping[str, Any], depth: int) -> Iterator[str]:
    """`whole` as YAML, line by line; what is not in `chosen` as comments."""
    indent = "  " * depth
    for key, value in whole.items():
        inner = chosen.get(key)
        if key in _ABOUT and not depth:
            yield f"\n# {key}: {_ABOUT[key]}"
        if isinstance(inner, Mapping):
            yield f"{indent}{key}:"
            yield from _lines(value, inner, depth + 1)
        elif key in chosen:
            yield f"{indent}{_written(key, value)}"
        elif key in _SURGERY_OPTIONS:
            continue  # they exclude the one that is given
        else:
            yield f"{indent}# {_written(key, value)}"


def _written(key: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    """`key: value` in one line."""
    written = str(yaml.safe_dump([value], default_flow_style=True, width=10**6)).strip()
    return f"{key}: {written[1:-1]}"
