"""From what a model is called to the source that has it, or to an error that says what to write instead.

| name                         | source                                                          |
|------------------------------|-----------------------------------------------------------------|
| `cifar-vgg19`, ...           | a built-in family                                               |
| `resnet50`, ...              | torchvision, also as `torchvision:resnet50`                     |
| `timm:vit_tiny_...`          | timm, an optional package                                       |
| `hf:FOLDER`                  | a folder of Transformers on this computer, an optional package  |
| `path/to/file.py:Net`        | whatever the class or function returns; imports code            |
| `package.module:factory`     | the same, from Python's path or the current folder              |

A path is never taken for a misspelled name: what it is decides the message.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from shlex import quote
from typing import cast

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.core.names import unknown
from n2nsurgery.models.model_spec import SourceName
from n2nsurgery.models.sources.source import ModelSource
from n2nsurgery.models.weights import SAFETENSORS, TORCH

_MODULES: dict[SourceName, str] = {
    "family": "from_families",
    "torchvision": "from_torchvision",
    "timm": "from_timm",
    "hf": "from_hf",
    "factory": "from_factory",
}
_PREFIXED: tuple[SourceName, ...] = ("torchvision", "timm", "hf")
_LISTED: tuple[SourceName, ...] = ("family", "torchvision")
_SHOWN = 5
_OWN = "a model of your own is named by its file and class or function, as in my_file.py:MyNet"


def locate(name: str) -> tuple[SourceName, str]:
    """The source of the model called `name`, and what the source calls it; nothing is imported for own models.

    Raises UnknownNameError with the nearest name, or for a path with what to write instead.
    """
    prefix, colon, bare = name.partition(":")
    if colon:
        return (prefix, bare) if prefix in _PREFIXED else ("factory", name)
    for source in _LISTED:
        if name in source_of(source).names():
            return source, name
    path = Path(name)
    if len(path.parts) > 1 or path.exists() or path.suffix in {".py", ".onnx", SAFETENSORS, *TORCH}:
        raise UnknownNameError(f"'{name}' {_instead(path)}")
    error = unknown("model", name, [known for source in _LISTED for known in source_of(source).names()])
    if str(error).endswith("?"):
        raise UnknownNameError(f"{error} A{_OWN[1:]}")
    raise UnknownNameError(f"{error}, and '{Path.cwd()}' has no file or folder of that name; {_OWN}")


def source_of(source: SourceName) -> ModelSource:
    """The module of a source, imported on use: torchvision and timm cost seconds."""
    return cast("ModelSource", importlib.import_module(f"n2nsurgery.models.sources.{_MODULES[source]}"))


def _instead(path: Path) -> str:
    """What a path is, and what to write to use it."""
    if path.suffix == ".py":
        return f"is a file of code: name the class or function that makes the model, as in {_first_of(path)}"
    if path.suffix in {SAFETENSORS, *TORCH}:
        return (
            "is a file of weights, which does not say what network they are of: name the model, and the file with"
            f" --weights, as in: resnet50 --weights {quote(str(path))}"
        )
    if path.suffix.lower() == ".onnx":
        return "is an ONNX file, which inspect, report, verify and bench read; here the PyTorch model is needed"
    if (path / "config.json").is_file():
        return f"is a folder; if Transformers saved it, write {quote(f'hf:{path}')}"
    if path.exists():
        return f"is a {'folder' if path.is_dir() else 'file'} without a model that can be read; {_OWN}"
    return (
        "is not a file or folder on this computer. Models of a hub are not fetched: download its folder and write"
        f" hf:FOLDER, or take one by name, as in timm:resnet50; {_OWN}"
    )


def _first_of(path: Path) -> str:
    """A class or function that a file defines, as a model is named, and the others, of which none is run."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return quote(f"{path}:MyNet")
    kinds = (ast.ClassDef, ast.FunctionDef)
    found = [each.name for each in tree.body if isinstance(each, kinds) and not each.name.startswith("_")]
    more = f" (it defines {', '.join(found[:_SHOWN])}{', ...' if len(found) > _SHOWN else ''})" if found[1:] else ""
    return quote(f"{path}:{found[0] if found else 'MyNet'}") + more


def require_import_allowed(source: SourceName, name: str, *, allowed: bool) -> None:
    """Return where `name` runs no code, or may; raises UsageError."""
    if source == "factory" and not allowed:
        raise UsageError(f"model '{name}' imports code, which is barred here; allow it with --allow-import")
