"""What a plan is carried out on, and how its skips get there, for both engines."""

from __future__ import annotations

from torch import nn

from n2nsurgery.graph.tracing.trace import Trace
from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.graph.used_weight import keep_zeros
from n2nsurgery.surgery.engines.attach import attach_skips, detach_skips
from n2nsurgery.surgery.engines.graft import graft, ungraft
from n2nsurgery.surgery.engines.size_guard import guard_sizes
from n2nsurgery.surgery.engines.skip_modules import remove_skip_modules
from n2nsurgery.surgery.planning.plan import SurgeryPlan


def operand(trace: Trace, plan: SurgeryPlan) -> nn.Module:
    """The module that `plan` changes: the model itself with the engine `hooks`, the traced copy with `rewrite`.

    Normalized weights in it may be pruned: they stay zero where nothing is kept.
    """
    module = trace.module if plan.engine.engine == "rewrite" else trace.subject
    keep_zeros(module)
    return module


def add_skips(trace: Trace, plan: SurgeryPlan) -> nn.Module:
    """The module that `plan` changes, with the plan's skips in it, their weights zero; in place.

    A rewritten copy refuses inputs of other sizes from then on.
    """
    if plan.engine.engine == "rewrite":
        graft(trace.module, plan.skips)
        guard_sizes(trace.module, plan.inputs)
        return operand(trace, plan)
    module = operand(trace, plan)
    attach_skips(module, plan.skips, plan.engine.routes)
    return module


def remove_skips(module: nn.Module, plan: SurgeryPlan) -> None:
    """Take the plan's skips out of the module that has them, in place; a rewritten copy stays one."""
    if isinstance(module, TracedModule):
        ungraft(module, plan.skips)
    else:
        detach_skips(module)
    remove_skip_modules(module, plan.skips)
