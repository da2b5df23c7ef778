"""Who survives: exact budgets, criteria and masks. Knows nothing of skips.

What it offers, from the count to the masks:

    budget(N, density=0.05, skip_ratio=0.5)     exact counts
    topk(scores, k)                             exactly k True, ties by flat index
    allocate(shapes, total, "erk")              exact counts per layer
    balanced_mask(weight, count, generator)     a random pattern, fan-in and fan-out balanced
    one_to_one(n_out, n_in, count, generator)   at most one weight for each target channel
    fixed_fan(n_out, n_in, fan_out=4, seed=0)   equal fan-outs, equal fan-ins; also clash_free, expander
    fan_out_settings(junctions, edges)          all whole fan-outs with so many edges
    draw_masks("snip", weights, count, ...)     criterion + weights + count -> MaskSet and report

Every piece can be used on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from n2nsurgery.imports import public_names

if TYPE_CHECKING:
    from n2nsurgery.masks.allocations import ALLOCATIONS
    from n2nsurgery.masks.counts.allocation import allocate
    from n2nsurgery.masks.counts.budgets import Budget, budget
    from n2nsurgery.masks.counts.exact_topk import topk, topk_global
    from n2nsurgery.masks.counts.floors import Floors
    from n2nsurgery.masks.criterion import CRITERIA, Criterion, PatternCriterion, ScoreCriterion, make_criterion
    from n2nsurgery.masks.draw import MaskDraw, WeightReport, draw_masks
    from n2nsurgery.masks.granularities import GRANULARITIES
    from n2nsurgery.masks.maskset import MaskSet
    from n2nsurgery.masks.patterns.balanced import balanced_mask, one_to_one
    from n2nsurgery.masks.patterns.clash_free import clash_free
    from n2nsurgery.masks.patterns.expander import expander
    from n2nsurgery.masks.patterns.fans import fan_out_settings, fixed_fan
    from n2nsurgery.masks.scoring.context import ScoreContext, ScoringBatch
    from n2nsurgery.masks.store import pack, unpack

__all__ = [
    "ALLOCATIONS",
    "CRITERIA",
    "GRANULARITIES",
    "Budget",
    "Criterion",
    "Floors",
    "MaskDraw",
    "MaskSet",
    "PatternCriterion",
    "ScoreContext",
    "ScoreCriterion",
    "ScoringBatch",
    "WeightReport",
    "allocate",
    "balanced_mask",
    "budget",
    "clash_free",
    "draw_masks",
    "expander",
    "fan_out_settings",
    "fixed_fan",
    "make_criterion",
    "one_to_one",
    "pack",
    "topk",
    "topk_global",
    "unpack",
]

__getattr__, __dir__ = public_names(
    __name__,
    {
        "ALLOCATIONS": "n2nsurgery.masks.allocations:ALLOCATIONS",
        "CRITERIA": "n2nsurgery.masks.criterion:CRITERIA",
        "GRANULARITIES": "n2nsurgery.masks.granularities:GRANULARITIES",
        "Budget": "n2nsurgery.masks.counts.budgets:Budget",
        "Criterion": "n2nsurgery.masks.criterion:Criterion",
        "Floors": "n2nsurgery.masks.counts.floors:Floors",
        "MaskDraw": "n2nsurgery.masks.draw:MaskDraw",
        "MaskSet": "n2nsurgery.masks.maskset:MaskSet",
        "PatternCriterion": "n2nsurgery.masks.criterion:PatternCriterion",
        "ScoreContext": "n2nsurgery.masks.scoring.context:ScoreContext",
        "ScoreCriterion": "n2nsurgery.masks.criterion:ScoreCriterion",
        "ScoringBatch": "n2nsurgery.masks.scoring.context:ScoringBatch",
        "WeightReport": "n2nsurgery.masks.draw:WeightReport",
        "allocate": "n2nsurgery.masks.counts.allocation:allocate",
        "balanced_mask": "n2nsurgery.masks.patterns.balanced:balanced_mask",
        "budget": "n2nsurgery.masks.counts.budgets:budget",
        "clash_free": "n2nsurgery.masks.patterns.clash_free:clash_free",
        "draw_masks": "n2nsurgery.masks.draw:draw_masks",
        "expander": "n2nsurgery.masks.patterns.expander:expander",
        "fan_out_settings": "n2nsurgery.masks.patterns.fans:fan_out_settings",
        "fixed_fan": "n2nsurgery.masks.patterns.fans:fixed_fan",
        "make_criterion": "n2nsurgery.masks.criterion:make_criterion",
        "one_to_one": "n2nsurgery.masks.patterns.balanced:one_to_one",
        "pack": "n2nsurgery.masks.store:pack",
        "topk": "n2nsurgery.masks.counts.exact_topk:topk",
        "topk_global": "n2nsurgery.masks.counts.exact_topk:topk_global",
        "unpack": "n2nsurgery.masks.store:unpack",
    },
)
