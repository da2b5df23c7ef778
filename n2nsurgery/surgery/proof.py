"""Proves the counts of a pruned module from its tensors."""

from __future__ import annotations

from torch import nn

from n2nsurgery.core.errors import InternalError, UsageError, VerificationError
from n2nsurgery.core.names import listed
from n2nsurgery.core.outputs import is_faded
from n2nsurgery.masks.attachment import enforcer_of
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.surgery.planning.plan import SurgeryPlan


def prove_counts(module: nn.Module, masks: MaskSet, plan: SurgeryPlan) -> None:
    """Raise InternalError unless masks and weights hold exactly the plan's budget.

    Counted are the masks; of the weights it is proven that nothing is left outside them (a kept weight may be zero).
    """
    skips = {f"{skip.name}.weight": skip.kept for skip in plan.skips if skip.weight_shape is not None}
    sequential = {weight.name for weight in plan.weights}
    if set(masks) != sequential | skips.keys():
        raise InternalError(f"masks of {len(masks)} parameters where the plan has {len(sequential | skips.keys())}")
    kept_skips = sum(masks.counts[name] for name in skips)
    expected = (plan.budget.total, plan.budget.skips, plan.budget.sequential)
    found = (masks.kept, kept_skips, masks.kept - kept_skips)
    if found != expected or any(masks.counts[name] != kept for name, kept in skips.items()):
        raise InternalError(f"kept (total, skips, sequential) is {found}, the budget says {expected}")
    for weight, kept in zip(plan.weights, plan.kept or (), strict=plan.kept is not None):
        if masks.counts[weight.name] != kept:
            raise InternalError(f"'{weight.name}' keeps {masks.counts[weight.name]}, the plan says {kept}")
    if leaks := leaked(module, masks):
        name, count = next(iter(leaks.items()))
        raise InternalError(f"{count:,} weights of '{name}' are not zero outside its mask")


def require_masked(module: nn.Module, masks: MaskSet) -> None:
    """Return where every weight outside `masks` is zero.

    Raises VerificationError with the parameters whose pruned weights have moved, UsageError where a parameter was
    replaced by something else (a parametrization, a quantizer, fully_shard), and as `require_present`.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    replaced = [name for name in masks if type(parameters.get(name)) is not nn.Parameter]
    if replaced:
        raise UsageError(
            f"{listed(replaced)} of the pruned module is no longer an ordinary parameter: a parametrization, quantizer"
            " or fully_shard has replaced it. Undo that, or load the trained weights into the pruned model as it was"
        )
    require_present(module, masks)
    if leaks := leaked(module, masks):
        raise VerificationError(
            f"{sum(leaks.values()):,} pruned weights are no longer zero (in {listed(list(leaks))}): an optimizer that"
            " mixes entries or has momentum from before pruning, or other code, has written to them. Call"
            " `pruned.enforce(optimizer)` before training; `pruned.apply_masks()` sets them to zero now"
        )


def require_present(module: nn.Module, masks: MaskSet) -> None:
    """Return where training has neither moved the masks of `module` nor faded its skips; raises UsageError."""
    enforcer = enforcer_of(module)
    if enforcer is not None and enforcer.in_use and MaskSet(enforcer.masks) != masks:
        raise UsageError(
            "the module has other masks now, as after training with dynamics: take `pruned.present()`, which has them"
        )
    if any(is_faded(part) for part in module.modules()):
        raise UsageError(
            "the skips of the module have faded in training, and it computes without them: take `pruned.present()`,"
            " which has none"
        )


def leaked(module: nn.Module, masks: MaskSet) -> dict[str, int]:
    """How many weights outside the masks are not zero, by parameter name; empty where all are."""
    counts: dict[str, int] = {}
    for name, mask in masks.items():
        alive = module.get_parameter(name).detach().ne(0)
        outside = alive.logical_and_(mask.logical_not().to(alive.device))
        if outside.any():
            counts[name] = int(outside.sum())
    return counts
