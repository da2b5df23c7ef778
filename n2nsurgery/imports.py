"""What is imported when: public names on their first use, and optional packages by the extra that brings them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from n2nsurgery.core.errors import RunError

EXTRAS = {
    "report": ("matplotlib", "jinja2"),
    "timm": ("timm",),
    "tensorboard": ("tensorboard",),
    "cpu": ("onnxruntime",),
    "gpu": ("onnxruntime",),
    "lightning": ("lightning",),
    "transformers": ("transformers",),
    "accelerate": ("accelerate",),
    "coverage": ("diffusers", "segmentation_models_pytorch", "monai"),
}
"""The packages that each extra makes importable."""


def public_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:  # the two functions that PEP 562 asks for
    """`__getattr__` and `__dir__` of a package whose names are imported when they are first used.

    `homes`: public name -> `module:attribute`, or `module` for a module itself. Another name is an AttributeError, and
    nothing is searched for; a module that cannot be imported raises its own error.
    """

    def get(name: str) -> Any:  # noqa: ANN401 - any public object
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module, _, attribute = homes[name].partition(":")
        home = importlib.import_module(module)
        return getattr(home, attribute) if attribute else home

    return get, lambda: sorted(homes)


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Inside, a failing import of what the extra `name` brings is a RunError that says how to install it.

    `purpose` begins the message: "the page of a report". Any other failing import keeps its own error.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS[name]:
            raise
        extras = [each for each, packages in EXTRAS.items() if package in packages]
        remedy = " or ".join(f"pip install 'n2nsurgery[{each}]'" for each in extras)
        raise RunError(f"{purpose} needs {package}, which is not installed: {remedy}") from error
