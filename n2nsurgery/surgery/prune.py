"""Prune: from a traced model and a plan to a PrunedModel.

The order is the paper's (section 3.1): prune the dense sequential network first, then add the skips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import listed
from n2nsurgery.core.outputs import not_finite
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.graph.layers.layer_graph import Rejection
from n2nsurgery.graph.tracing.following.follow import Leaf
from n2nsurgery.graph.tracing.trace import Trace
from n2nsurgery.masks.attachment import apply_masks
from n2nsurgery.masks.criterion import Criterion
from n2nsurgery.masks.draw import MaskDraw, WeightReport, draw_masks
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.masks.scoring.context import SINGLE_PROCESS, ScoreContext, ScoringBatch
from n2nsurgery.masks.scoring.loss import cross_entropy
from n2nsurgery.surgery.engines.carry_out import add_skips, operand
from n2nsurgery.surgery.kept.skip_masks import parameter_of, settle_skip
from n2nsurgery.surgery.kept.start_values import set_start_values
from n2nsurgery.surgery.planning.foreign import foreign_members
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.planner import criterion_of, floors_of, pattern_seed
from n2nsurgery.surgery.present import kept_counts
from n2nsurgery.surgery.proof import prove_counts
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.record import SurgeryRecord, versions_in_use


@dataclass(frozen=True, kw_only=True)
class ScoringData:
    """What a criterion that looks at data is given.

    `batches` are (inputs, targets); `origin` says where they come from and is recorded; `loss` maps what the model
    returns and the targets to a scalar. `input_names`: the arguments of forward that the inputs of a batch are.
    `processes`: the processes that score together; the first prunes, the others `assist`.
    """

    batches: Sequence[ScoringBatch] = ()
    origin: str | None = None
    input_names: tuple[str, ...] = ()
    loss: Callable[[Any, Tensor], Tensor] = cross_entropy
    processes: DistributedContext = SINGLE_PROCESS


_REMEDY = "raise the density, set keep_alive, floor_layer or floor_channel, or keep {it} dense with ignore {names}"
_MOST_NAMES = 3


def prune(
    trace: Trace,
    plan: SurgeryPlan,
    data: ScoringData = ScoringData(),
    progress: Progress = SILENT,
    criterion: Criterion | None = None,
) -> PrunedModel:
    """Prune the module that the plan's engine changes, in place; equal plans, weights and data give equal masks.

    `data`: the batches, loss and device that a criterion scores with; unused by criteria that look at weights only.
    `progress` is called while a criterion scores. `criterion`: the object, where no registry has the one that the plan
    names. Raises UsageError where the criterion needs data and has none, or a parameter is NaN or infinite;
    InternalError where the counts are not exactly the plan's.
    """
    if broken := not_finite(operand(trace, plan)):
        raise UsageError(f"the model cannot be pruned: {broken}. Take weights from before its training diverged")
    context = _context(trace, plan, data)
    draw = _draw(context, plan, progress, criterion)
    module = add_skips(trace, plan)
    skips = {
        parameter_of(skip): settle_skip(skip, module.get_parameter(parameter_of(skip)), seed=plan.config.seed)
        for skip in plan.skips
        if skip.weight_shape is not None
    }
    drawn = draw.masks.with_(
        {w.name: torch.ones(w.shape, dtype=torch.bool) for w in plan.weights if w.name in plan.dense}
    )
    masks = MaskSet({**{weight.name: drawn[weight.name] for weight in plan.weights}, **skips})
    apply_masks(module, masks)
    set_start_values(module, masks, plan, progress)
    prove_counts(module, masks, plan)
    record = SurgeryRecord(
        plan=plan.fingerprint,
        masks=masks.fingerprint,
        kept=kept_counts(plan, masks),
        data=data.origin,
        versions=(*versions_in_use(), *foreign_members(plan)),
        leaves=tuple(_opaque(leaf) for leaf in trace.leaves),
        warnings=(
            *plan.warnings,
            *sorted(context.remarks),
            *_frozen(module, draw),
            *_near_empty(draw),
            *_unserved(draw),
        ),
    )
    return PrunedModel(module=module, masks=masks, plan=plan, record=record)


def assist(trace: Trace, plan: SurgeryPlan, data: ScoringData) -> None:
    """Score this process's part of the batches for the one that prunes; the module stays as it is."""
    _draw(_context(trace, plan, data), plan, SILENT, None)


def _context(trace: Trace, plan: SurgeryPlan, data: ScoringData) -> ScoreContext:
    """What the criterion sees: the weights that are pruned, and the data."""
    return ScoreContext(
        module=operand(trace, plan),
        weights=tuple(weight for weight in plan.weights if weight.name not in plan.dense),
        batches=data.batches,
        input_names=data.input_names if plan.engine.engine == "hooks" else (),  # a copy has no others
        loss=data.loss,
        seed=plan.config.seed,
        processes=data.processes,
    )


def _draw(context: ScoreContext, plan: SurgeryPlan, progress: Progress, criterion: Criterion | None) -> MaskDraw:
    kept_dense = sum(weight.numel for weight in plan.weights if weight.name in plan.dense)
    return draw_masks(
        criterion or criterion_of(plan.config),
        context.weights,
        plan.budget.sequential - kept_dense,
        context=context,
        seed=pattern_seed(plan.config),
        counts=planned_counts(plan),
        floors=floors_of(plan.config),
        progress=progress,
    )


def planned_counts(plan: SurgeryPlan) -> dict[str, int] | None:
    """Kept counts by name of the weights that are pruned, where the plan knows them."""
    if plan.kept is None:
        return None
    counts = zip(plan.weights, plan.kept, strict=True)
    return {weight.name: kept for weight, kept in counts if weight.name not in plan.dense}


def _opaque(leaf: Leaf) -> Rejection:
    return Rejection(source=f"{leaf.class_name}: {', '.join(leaf.paths)}", target="", reason=leaf.reason)


def _frozen(module: nn.Module, draw: MaskDraw) -> tuple[str, ...]:
    """A warning where weights are pruned and cannot be trained afterwards."""
    lines = [line for line in draw.report if line.kept < line.numel]
    frozen = [line.name for line in lines if not module.get_parameter(line.name).requires_grad]
    if not frozen:
        return ()
    warning = (
        f"{len(frozen)} of {len(lines)} pruned parameters are frozen ({listed(frozen)}): with requires_grad=False,"
        " training cannot make up for what was pruned; ignore leaves them dense"
    )
    return (warning,)


def _near_empty(draw: MaskDraw) -> tuple[str, ...]:
    """A warning for the layers that nothing passes, and one for those that little passes, with what helps."""
    groups = ([line for line in draw.near_empty if not line.kept], [line for line in draw.near_empty if line.kept])
    return tuple(_emptiness(lines) for lines in groups if lines)


def _emptiness(lines: Sequence[WeightReport]) -> str:
    line, several = lines[0], len(lines) > 1
    names = ", ".join(f"'{line.name.removesuffix('.weight')}'" for line in lines[:_MOST_NAMES])
    names += f" and {len(lines) - _MOST_NAMES:,} more" if len(lines) > _MOST_NAMES else ""
    remedy = _REMEDY.format(it="them" if several else "it", names="PATTERN" if several else names)
    if not line.kept:
        cut = f"cut layer: '{line.name}' keeps none of its {line.numel:,} weights, so nothing passes it"
        cuts = f"cut layers: {len(lines):,} layers keep no weight, so nothing passes them: {names}"
        return f"{cuts if several else cut}; {remedy}"
    thin = (
        f"near-empty layer: '{line.name}' keeps {line.kept:,} of {line.numel:,} weights, and "
        f"{line.dead:,} of its {line.outputs:,} output channels have none"
    )
    thins = f"near-empty layers: {len(lines):,} layers have a weight in at most a tenth of their outputs: {names}"
    return f"{thins if several else thin}; {remedy}"


def _unserved(draw: MaskDraw) -> tuple[str, ...]:
    """A warning where channels are to be kept alive, the budget allows it, and the pattern does not."""
    dead = sum(line.dead for line in draw.report)
    if not draw.floors.alive or dead <= max(0, sum(line.outputs for line in draw.report) - draw.masks.kept):
        return ()
    first = next(line.name for line in draw.report if line.dead)
    warning = (
        f"keep_alive: {dead:,} output channels keep no weight (first in '{first}'), though the budget has one for each:"
        " this pattern keeps several weights at a time. Take granularity 'weight', or raise the density"
    )
    return (warning,)
