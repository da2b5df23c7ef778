"""What every model family promises; see `n2nsurgery.models.family` for the protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from n2nsurgery.models.family import Family
from n2nsurgery.testing.verdict import expect, instance, is_a_frozen_value, keeps_all

_CLASSES = 7


def check_family(family: Family | type[Any]) -> None:
    """Return where `family`, an instance or a class with defaults, keeps the promises of a model family.

    The model is built with 7 outputs and trained for one step. Raises AssertionError that names the first promise that
    is broken.
    """
    keeps_all(instance(family), FAMILY_CHECKS)


def gives_one_output_per_class_and_trains_every_parameter(family: Family) -> None:
    """Outputs (N, num_classes); a gradient for each parameter."""
    module = smaller(family).build()
    outputs = module(torch.randn(2, *family.input_shape, generator=torch.Generator().manual_seed(0)))
    shape = tuple(outputs.shape)
    expect(shape == (2, _CLASSES), f"gives outputs of shape {shape} for two samples and {_CLASSES} classes")
    outputs.square().sum().backward()
    idle = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    expect(not idle, f"leaves {', '.join(idle)} without a gradient")


def builds_the_same_structure_without_memory(family: Family) -> None:
    """On the meta device: names and shapes alone, as an inspection asks for."""
    with torch.device("meta"):
        planned = {name: tuple(p.shape) for name, p in family.build().named_parameters()}
    built = {name: tuple(p.shape) for name, p in family.build().named_parameters()}
    expect(planned == built, "has other parameters on the meta device")


def is_initialized_from_the_global_generator_alone(family: Family) -> None:
    """The same state, the same weights."""
    first, second = (_weights_after(family, 3) for _ in range(2))
    expect(all(map(torch.equal, first, second)), "has other weights for the same state of torch's generator")


def smaller(family: Family) -> Family:
    """`family` with 7 classes."""
    changed: Family = dataclasses.replace(family, num_classes=_CLASSES)
    return changed


def _weights_after(family: Family, seed: int) -> list[torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return [parameter.detach() for parameter in smaller(family).build().parameters()]


FAMILY_CHECKS: tuple[Callable[[Family], None], ...] = (
    is_a_frozen_value,
    gives_one_output_per_class_and_trains_every_parameter,
    builds_the_same_structure_without_memory,
    is_initialized_from_the_global_generator_alone,
)
