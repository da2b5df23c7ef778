"""A pruned network in one line, and as the table that a notebook shows."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from n2nsurgery.core.names import counted
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.record import SurgeryRecord
from n2nsurgery.surgery.summary import density_of, model_name


def one_line(plan: SurgeryPlan) -> str:
    """`PrunedModel(resnet50, 1,275,141 of 25,502,912 weights (5 %), 16 skips with 13,440 of them)`."""
    return f"PrunedModel({model_name(plan)}, {_weights(plan)}, {_skips(plan)})"


def html_table(plan: SurgeryPlan, record: SurgeryRecord) -> str:
    """A table of two columns; every name in it is escaped, for it comes from a model."""
    config = plan.config
    facts: Mapping[str, str] = {
        "model": model_name(plan),
        "weights": _weights(plan),
        "skips": _skips(plan),
        "criterion": config.criterion,
        "engine": plan.engine.engine,
        "seed": str(config.seed),
        "masks": record.masks[:12],
        **{f"warning {number}": warning for number, warning in enumerate(record.warnings, 1)},
    }
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f"<table>{rows}</table>"


def _weights(plan: SurgeryPlan) -> str:
    return f"{plan.budget.total:,} of {plan.budget.reference:,} weights ({100 * density_of(plan):.3g} %)"


def _skips(plan: SurgeryPlan) -> str:
    if not plan.skips:
        return "no skips"
    return f"{counted(len(plan.skips), 'skip')} with {plan.budget.skips:,} of them"
