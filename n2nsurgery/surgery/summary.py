"""What a person or a program wants to know of a pruning, as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.skips.alignment import describe
from n2nsurgery.skips.spec import SkipSpec
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.record import SurgeryRecord


def summary(plan: SurgeryPlan, masks: MaskSet | None = None, record: SurgeryRecord | None = None) -> dict[str, Any]:
    """The document that `apply --json` prints.

    Without masks (a dry run) the counts are the plan's, where it knows them, and what only masks tell is null.
    Weight counts are exact; `silent_channels` are output channels without a weight. MACs are those of one sample in
    eval mode; `mac_density` is kept over dense MACs, the skips' MACs counted as kept.
    """
    planned = zip(plan.weights, plan.kept or (), strict=plan.kept is not None)
    counts = masks.counts if masks is not None else {weight.name: kept for weight, kept in planned}
    dense = sum(weight.macs for weight in plan.weights)
    skip_macs = sum(skip.macs for skip in plan.skips)
    kept_macs = sum(counts[weight.name] * weight.uses for weight in plan.weights) if counts else 0
    return {
        "model": model_name(plan),
        "criterion": plan.config.criterion,
        "criterion_options": plan.config.all_criterion_options,
        "keep_alive": plan.config.keep_alive,
        "data": record.data if record is not None else None,
        "skip": plan.config.skip,
        "skip_pattern": plan.config.skip_pattern if plan.config.skip == "n2n" else None,
        **_budget_words(plan),
        "skip_ratio": _skip_ratio(plan),
        "engine": plan.engine.engine,
        "engine_reason": plan.engine.reason,
        "seed": plan.config.seed,
        "draw": plan.config.draw,
        "reference_weights": plan.budget.reference,
        "nnz_total": plan.budget.total,
        "nnz_sequential": plan.budget.sequential,
        "nnz_skip": plan.budget.skips,
        "macs_dense": dense,
        "mac_density": (kept_macs + skip_macs) / dense if counts and dense else None,
        "layers": _layers(plan, counts, record),
        "skips": [_skip(skip) for skip in plan.skips],
        "refused": [{"source": r.source, "target": r.target, "reason": r.reason} for r in plan.refused],
        "warnings": list(record.warnings if record is not None else plan.warnings),
        "plan_fingerprint": plan.fingerprint,
        "mask_fingerprint": masks.fingerprint if masks is not None else None,
    }


def _layers(plan: SurgeryPlan, counts: Mapping[str, int], record: SurgeryRecord | None) -> list[dict[str, Any]]:
    silent = {line.name: line.silent for line in record.kept} if record is not None else {}
    return [
        {
            "name": weight.layer,
            "parameter": weight.name,
            "weights": weight.numel,
            "kept": counts.get(weight.name),
            "silent_channels": silent.get(weight.name),
            "macs": counts[weight.name] * weight.uses if counts else None,
        }
        for weight in plan.weights
    ]


def _budget_words(plan: SurgeryPlan) -> dict[str, float]:
    density = density_of(plan)
    return {"density": density, "sparsity": 1 - density, "compression": 1 / density}


def density_of(plan: SurgeryPlan) -> float:
    """The density that was asked for, or where layers say what they keep, what that is of all weights."""
    asked = plan.config.density
    return plan.budget.total / plan.budget.reference if asked is None else asked


def model_name(plan: SurgeryPlan) -> str:
    """The name under which the model was asked for, or the class of the object that was given."""
    return str(json.loads(plan.model)["name"]) if plan.model is not None else plan.model_class


def _skip_ratio(plan: SurgeryPlan) -> float:
    """The share that was asked for, or with `auto` the one that the skips took."""
    asked = plan.config.skip_ratio
    return plan.budget.skips / plan.budget.total if asked == "auto" else asked


def _skip(skip: SkipSpec) -> dict[str, Any]:
    return {
        "name": skip.name,
        "source": skip.pair.source,
        "target": skip.pair.target,
        "length": skip.pair.length,
        "kind": skip.kind,
        "pattern": skip.pattern,
        "kernel": list(skip.kernel),
        "stride": list(skip.align.factor) or [1] * len(skip.pair.target_signal.spatial),
        "align": describe(skip.align),
        "weights": skip.numel,
        "kept": skip.kept,
        "macs": skip.macs,
    }
