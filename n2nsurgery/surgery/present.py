"""The plan and the record of a network whose masks have moved in training: what is kept where, as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.grid import to_grid
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.route import EngineChoice
from n2nsurgery.surgery.record import KeptCount, SurgeryRecord


def at_present(plan: SurgeryPlan, record: SurgeryRecord, masks: MaskSet) -> tuple[SurgeryPlan, SurgeryRecord]:
    """Plan and record with the counts of `masks`, so that they prove themselves by them.

    Where the number of all kept weights has changed, the plan's density is what it is now.
    """
    if (plan.fingerprint, masks.fingerprint) == (record.plan, record.masks):
        return plan, record
    skips = tuple(
        skip if skip.weight_shape is None else replace(skip, kept=masks.counts[f"{skip.name}.weight"])
        for skip in plan.skips
    )
    config, total = plan.config, masks.kept
    if total != plan.budget.total:
        config = replace(config, density=total / plan.budget.reference, sparsity=None, compression=None)
    present = replace(
        plan,
        config=config,
        budget=replace(plan.budget, total=total, skips=sum(skip.kept for skip in skips)),
        kept=None if plan.kept is None else tuple(masks.counts[weight.name] for weight in plan.weights),
        skips=skips,
    )
    kept = kept_counts(present, masks)
    return present, replace(record, plan=present.fingerprint, masks=masks.fingerprint, kept=kept)


def without_skips(
    plan: SurgeryPlan, record: SurgeryRecord, masks: MaskSet, state: Mapping[str, Tensor]
) -> tuple[SurgeryPlan, SurgeryRecord, MaskSet, dict[str, Tensor]]:
    """The same network after its skips have faded: the original's graph, and the kept weights of its layers alone."""
    inside = tuple(f"{skip.name}." for skip in plan.skips)
    left = MaskSet({name: mask for name, mask in masks.items() if not name.startswith(inside)})
    config = replace(plan.config, skip="none", skip_options={}, skip_ratio="auto")
    engine = EngineChoice(engine="hooks", reason="the skips have faded")
    bare = replace(plan, config=config, skips=(), engine=engine, budget=replace(plan.budget, skips=0))
    present, achieved = at_present(bare, record, left)
    return present, achieved, left, {name: value for name, value in state.items() if not name.startswith(inside)}


def kept_counts(plan: SurgeryPlan, masks: MaskSet) -> tuple[KeptCount, ...]:
    """What every masked weight keeps, skips included, and how many of its output channels have nothing."""
    weights = {weight.name: weight for weight in plan.weights}
    lines: list[KeptCount] = []
    for name, mask in masks.items():
        served = _served(mask.numpy(), weights.get(name))
        silent = served.size - int(np.count_nonzero(served))
        lines.append(
            KeptCount(name=name, kept=masks.counts[name], numel=mask.numel(), channels=served.size, silent=silent)
        )
    return tuple(lines)


def _served(mask: NDArray[np.bool_], weight: PrunableWeight | None) -> NDArray[np.bool_]:
    """Which output channels keep a weight; those of a skip, which is not a weight of the plan, come first."""
    if weight is None:
        return np.asarray(mask.reshape(mask.shape[0], -1).any(axis=1))
    grid = to_grid(mask, weight)
    return np.asarray(grid.reshape(grid.shape[0] * grid.shape[1], -1).any(axis=1))
