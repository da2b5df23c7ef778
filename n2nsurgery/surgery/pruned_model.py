"""PrunedModel: the network after surgery, with everything that is known of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from n2nsurgery.core.outputs import is_faded
from n2nsurgery.core.sealed_folder import write_sealed
from n2nsurgery.graph.used_weight import plain_weights
from n2nsurgery.masks.attachment import Attachment, apply_masks, attach, enforcer_of
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.surgery.artifact_files import tensor_sets
from n2nsurgery.surgery.display import html_table, one_line
from n2nsurgery.surgery.engines.carry_out import remove_skips
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.present import at_present, without_skips
from n2nsurgery.surgery.proof import require_masked, require_present
from n2nsurgery.surgery.record import SurgeryRecord
from n2nsurgery.surgery.summary import summary


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PrunedModel:
    """A pruned and grafted network.

    `module`: trainable as any other; the original's state_dict keys plus those of the skips. `masks`: parameter name ->
    boolean tensor, skips included. `plan`: what was decided (`plan.skips`, `plan.budget`, `plan.refused`). `record`:
    what was achieved.
    """

    module: nn.Module
    masks: MaskSet
    plan: SurgeryPlan
    record: SurgeryRecord

    def __repr__(self) -> str:
        return one_line(self.plan)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_table(self.plan, self.record)

    def present(self) -> PrunedModel:
        """The same network as training has left it: with the masks that its module has now, which dynamics have moved.

        Where its skips have faded, it has a copy of the module, without them.
        """
        enforcer = enforcer_of(self.module)
        masks = self.masks if enforcer is None else MaskSet(enforcer.masks)
        plan, record = at_present(self.plan, self.record, masks)
        if not (plan.skips and all(is_faded(self.module.get_submodule(skip.name)) for skip in plan.skips)):
            return replace(self, masks=masks, plan=plan, record=record)
        module = copy.deepcopy(self.module)
        bare, achieved, left, _ = without_skips(plan, record, masks, {})
        apply_masks(module, left)
        remove_skips(module, plan)
        return PrunedModel(module=module, masks=left, plan=bare, record=achieved)

    def plain(self) -> tuple[nn.Module, MaskSet]:
        """A copy in eval mode on the CPU, for inference: every layer has the weight that it uses. With its masks.

        Raises UsageError where training has moved the masks or faded the skips; `present()` has neither.
        """
        require_present(self.module, self.masks)
        module = copy.deepcopy(self.module).cpu().eval()
        names = plain_weights(module)
        return module, MaskSet({names.get(name, name): mask for name, mask in self.masks.items()})

    def summary(self) -> dict[str, Any]:
        """What `n2nsurgery apply --json` prints: the budget, what each layer keeps, skips, rejections and warnings."""
        return summary(self.plan, self.masks, self.record)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the artifact into `folder`, which appears whole or not at all; returns `folder`.

        Raises UsageError where `folder` exists (with `overwrite`: where it is not an artifact) or training has moved
        the masks or faded the skips, VerificationError where it has moved pruned weights, RunError where it cannot be
        written.
        """
        require_masked(self.module, self.masks)
        write_sealed(
            Path(folder),
            documents={"plan": self.plan.to_json(), "record": self.record.to_json()},
            tensors=tensor_sets(self.module.state_dict(), self.masks),
            overwrite=overwrite,
        )
        return Path(folder)

    def enforce(self, *optimizers: Optimizer) -> Attachment:
        """Mask the weights, and the state of `optimizers`, after each of their steps; `remove()` of the result ends it.

        Ordinary optimizers made from `module.parameters()` need no such call. It is for those that mix entries (Muon,
        second-order methods) and for a training that goes on with the momentum of a dense network. Warns where
        trainable parameters are in none of the optimizers. Raises UsageError where none of the module's parameters is,
        as for an optimizer of the original: pruning returns a copy.
        """
        return attach(self.module, *optimizers)

    def apply_masks(self) -> None:
        """Set every pruned weight to zero again, after code other than an optimizer has written to the weights."""
        apply_masks(self.module, self.masks)
