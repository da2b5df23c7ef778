"""The best of several random patterns, chosen by scatter before anything is trained.

The scatter metric says from the pattern alone how evenly connections spread
(connectivity/paths/scatter_vector.py). Of many draws the one with the highest minimum is kept.
Source: "Characterizing sparse connectivity patterns in neural networks", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import numpy as np

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.criterion import Criterion, PatternCriterion
from n2nsurgery.masks.draw import draw_masks
from n2nsurgery.masks.grid import grid_of, to_grid
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.planner import pattern_seed
from n2nsurgery.surgery.prune import planned_counts


@dataclass(frozen=True, kw_only=True)
class DrawChoice:
    """The chosen `draw` and the scatter of every draw, by its number."""

    draw: int
    scatters: tuple[float, ...]

    @property
    def sentence(self) -> str:
        """What was chosen from what."""
        best, worst = max(self.scatters), min(self.scatters)
        return (
            f"draw {self.draw} of {len(self.scatters)} has the highest scatter, {best:.4f}"
            f" (median {median(self.scatters):.4f}, lowest {worst:.4f})"
        )


def choose_by_scatter(plan: SurgeryPlan, criterion: Criterion) -> DrawChoice:
    """The draw with the highest scatter of as many candidates as the plan asks for; the first of equals.

    Raises UsageError for a criterion that draws no patterns, and where the pruned layers are not a chain of junctions.
    """
    from n2nsurgery.connectivity.paths.scatter_vector import scatter  # loads scipy, which `apply` seldom needs

    counts = planned_counts(plan)
    if counts is None or not isinstance(criterion, PatternCriterion):
        raise UsageError(
            f"scatter chooses among patterns, and '{plan.config.criterion}' scores weights: it has a single result",
            field="select_by",
        )
    pruned = [weight for weight in plan.weights if weight.name not in plan.dense]
    _require_chain(pruned)
    scatters: list[float] = []
    for draw in range(plan.config.num_candidates):
        seed = pattern_seed(replace(plan.config, draw=draw))
        masks = draw_masks(criterion, pruned, sum(counts.values()), seed=seed, counts=counts).masks
        scatters.append(scatter([junction_of(weight, masks) for weight in pruned]).minimum)
    return DrawChoice(draw=int(np.argmax(scatters)), scatters=tuple(scatters))


def junction_of(weight: PrunableWeight, masks: MaskSet) -> np.ndarray:
    """The boolean (out, in) matrix of a layer: connected where any weight between two channels is kept."""
    kept = np.asarray(to_grid(masks[weight.name].numpy(), weight).any(axis=3))
    grid = grid_of(weight)
    matrix = np.zeros((grid.groups * grid.outputs, grid.groups * grid.inputs), dtype=np.bool_)
    for group, block in enumerate(kept):
        rows, columns = group * grid.outputs, group * grid.inputs
        matrix[rows : rows + grid.outputs, columns : columns + grid.inputs] = block
    return matrix


def _require_chain(pruned: list[PrunableWeight]) -> None:
    if not pruned:
        raise UsageError("no layer is pruned: there is no pattern to choose")
    for left, right in pairwise(pruned):
        outputs = grid_of(left).groups * grid_of(left).outputs
        inputs = grid_of(right).groups * grid_of(right).inputs
        if outputs != inputs:
            raise UsageError(
                f"scatter needs junctions that follow each other: '{left.layer}' has {outputs:,} outputs and"
                f" '{right.layer}' {inputs:,} inputs; keep the layers beside the chain dense (ignore)",
                field="select_by",
            )
