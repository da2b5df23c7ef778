"""Junctions: exact counts for single layers, asked for as a fan-out or as a density.

A fan-out counts output channels: a convolution's kernels are kept or pruned whole between its channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from n2nsurgery.core.errors import BudgetError, UsageError, about
from n2nsurgery.core.names import select
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.criterion import PatternCriterion
from n2nsurgery.masks.grid import ChannelGrid, grid_of
from n2nsurgery.masks.patterns.fans import fan_in_of, fan_out_at
from n2nsurgery.surgery.planning.config import SurgeryConfig


@dataclass(frozen=True, kw_only=True)
class JunctionRequest:
    """What the layers that match `layers` keep: `fan_out` edges of every input channel, or the share `density`.

    Raises UsageError unless exactly one of the two is given, in its range.
    """

    layers: str
    fan_out: int | None = None
    density: float | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        if (self.fan_out is None) == (self.density is None):
            raise UsageError(f"layer '{self.layers}' needs a fan-out or a density, one of the two")
        if self.fan_out is not None and self.fan_out < 1:
            raise UsageError(f"the fan-out of '{self.layers}' is {self.fan_out}; it must be at least 1")
        if self.density is not None and not 0 < self.density <= 1:
            raise UsageError(f"the density of '{self.layers}' is {self.density}; it must lie in (0, 1]")


def junctions_of(config: SurgeryConfig) -> tuple[JunctionRequest, ...]:
    """What `config` asks of single layers."""
    return (
        *(JunctionRequest(layers=layers, fan_out=number) for layers, number in config.fan_out.items()),
        *(JunctionRequest(layers=layers, density=share) for layers, share in config.junction_density.items()),
    )


def junction_counts(
    weights: Sequence[PrunableWeight], requests: Sequence[JunctionRequest], criterion: object
) -> dict[str, int]:
    """How many weights are kept where it was asked for layer by layer, by the weight's name.

    Raises UnknownNameError for a pattern that matches nothing, UsageError where two requests meet or the criterion
    scores, BudgetError for a fan-out that the layer cannot have.
    """
    counts: dict[str, int] = {}
    for request in requests:
        if not isinstance(criterion, PatternCriterion):
            raise UsageError(
                f"a fan-out or density for '{request.layers}' needs a criterion that draws patterns; scores decide what"
                " each layer keeps: take random, fixed-fan, clash-free or expander"
            )
        names = [name for weight in weights for name in (weight.layer, weight.name)]
        with about("fan_out" if request.density is None else "junction_density"):
            chosen = set(select(request.layers, names, kind="layer"))
        for weight in weights:
            if not chosen & {weight.layer, weight.name}:
                continue
            if weight.name in counts:
                raise UsageError(f"'{weight.layer}' is asked for twice; the second time by '{request.layers}'")
            counts[weight.name] = _count(weight, request, criterion)
    return counts


def _count(weight: PrunableWeight, request: JunctionRequest, criterion: PatternCriterion) -> int:
    grid = grid_of(weight)
    step = criterion.step(weight)
    if step == 1 and request.density is not None:
        return max(1, round(request.density * weight.numel))
    try:
        count = _regular_count(grid, request)
    except BudgetError as error:
        raise BudgetError(f"layer '{weight.layer}': {error}") from None
    if count % step:
        raise BudgetError(
            f"layer '{weight.layer}': {count:,} weights are not a multiple of {step:,}, which this pattern needs"
        )
    return count


def _regular_count(grid: ChannelGrid, request: JunctionRequest) -> int:
    if request.fan_out is not None:
        fan_in_of(grid.outputs, grid.inputs, request.fan_out)
        fan_out = request.fan_out
    else:
        assert request.density is not None
        fan_out = fan_out_at(grid.outputs, grid.inputs, request.density)
    return grid.groups * grid.inputs * fan_out * grid.taps
