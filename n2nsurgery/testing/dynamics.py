"""What every dynamics promises; see `training.dynamics`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.testing.verdict import all_equal, expect, instance, is_a_frozen_value, keeps_all, states_under
from n2nsurgery.training.dynamics import Dynamics, KeptWeight, Moment
from n2nsurgery.training.schedules import Span

_SPAN = Span(steps_per_epoch=7, epochs=90)
_SIZES = {"first": (60, 20), "whole": (15, 15), "empty": (12, 0), "last": (200, 31)}
_START = sum(kept for _, kept in _SIZES.values())


def check_dynamics(dynamics: Dynamics | type[Any]) -> None:
    """Return where `dynamics`, an instance or a class with defaults, keeps the promises of a rule that moves masks.

    It is asked for every step of a run of 90 epochs of 7 steps, on four small weights, one of them kept whole and one
    empty. Raises AssertionError that names the first promise that is broken.
    """
    keeps_all(instance(dynamics), (is_a_frozen_value, *DYNAMICS_CHECKS))


def says_what_it_needs(dynamics: Dynamics) -> None:
    """Weights, or gradients."""
    needs = getattr(dynamics, "needs", None)
    expect(needs in {"weights", "gradients"}, f"has needs = {needs!r}; it must be 'weights' or 'gradients'")


def has_a_budget_that_only_falls_when_it_is_due(dynamics: Dynamics) -> None:
    """The kept number is a whole one, never grows, and stays as it is after steps at which nothing is due."""
    before = _START
    for step in range(1, _SPAN.steps + 1):
        kept = dynamics.kept(_START, step, _SPAN)
        expect(isinstance(kept, int) and kept >= 1, f"keeps {kept!r} weights after step {step}; a whole number from 1")
        expect(kept <= before, f"keeps {kept} weights after step {step} and {before} before; a budget cannot grow")
        due = dynamics.is_due(step, _SPAN)
        expect(due or kept == before, f"keeps {kept} weights after step {step}, {before} before, and is not due there")
        before = kept
    expect(any(dynamics.is_due(step, _SPAN) for step in range(1, _SPAN.steps + 1)), "is due after none of 630 steps")


def keeps_exactly_its_budget(dynamics: Dynamics) -> None:
    """Through a whole run, each change on what the one before has left."""
    weights = _weights(dynamics)
    for step in _due(dynamics):
        kept = dynamics.kept(_START, step, _SPAN)
        places = _moved(dynamics, weights, step)
        expect(places.keys() == weights.keys(), f"gives places of {sorted(places)}; of {sorted(weights)} are needed")
        for name, found in places.items():
            _are_places(name, found, weights[name])
            same = not dynamics.keeps_counts or found.numel() == weights[name].kept
            expect(same, f"keeps {found.numel()} of '{name}', {weights[name].kept} before, and says keeps_counts")
        total = sum(found.numel() for found in places.values())
        expect(total == kept, f"keeps {total} weights after step {step}, and its budget is {kept}")
        weights = _weights(dynamics, places)


def depends_on_its_arguments_alone(dynamics: Dynamics) -> None:
    """Asked again it gives the same, and it leaves weights and the global generator as they are."""
    weights = _weights(dynamics)
    values = [weight.values.clone() for weight in weights.values()]
    step = _due(dynamics)[0]
    first, again = states_under((1, 2), lambda: _moved(dynamics, weights, step))
    expect(all_equal(first.values(), again.values()), "gives other places when it is asked again")
    expect(all_equal(values, [weight.values for weight in weights.values()]), "changes the weights that it looks at")


def _due(dynamics: Dynamics) -> list[int]:
    return [step for step in range(1, _SPAN.steps + 1) if dynamics.is_due(step, _SPAN)]


def _moved(dynamics: Dynamics, weights: dict[str, KeptWeight], step: int) -> dict[str, Tensor]:
    return dynamics.places(weights, Moment(step=step, span=_SPAN, kept=dynamics.kept(_START, step, _SPAN)))


def _are_places(name: str, found: Tensor, weight: KeptWeight) -> None:
    ascending = found.dtype == torch.int64 and bool((found[1:] > found[:-1]).all())
    expect(ascending, f"gives places of '{name}' that are not ascending int64 numbers")
    inside = not found.numel() or (int(found[0]) >= 0 and int(found[-1]) < weight.numel)
    expect(inside, f"gives places of '{name}' outside of its {weight.numel} entries")


def _weights(dynamics: Dynamics, places: dict[str, Tensor] | None = None) -> dict[str, KeptWeight]:
    """Weights with equal magnitudes among them, at `places` or at those that a run begins with."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, (numel, kept) in _SIZES.items():
        first = torch.randperm(numel, generator=generator)[:kept].sort().values
        dense = torch.randn(numel, generator=generator).mul(4).round().div(4)
        at = first if places is None else places[name]
        gradient = torch.randn(numel, generator=generator) if dynamics.needs == "gradients" else None
        found[name] = KeptWeight(places=at, values=dense[at], numel=numel, gradient=gradient)
    return found


DYNAMICS_CHECKS: tuple[Callable[[Dynamics], None], ...] = (
    says_what_it_needs,
    has_a_budget_that_only_falls_when_it_is_due,
    keeps_exactly_its_budget,
    depends_on_its_arguments_alone,
)
