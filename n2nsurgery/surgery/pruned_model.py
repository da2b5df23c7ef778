"""PrunedModel: the network after surgery, with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from n2nsurgery.core.errors import VerificationError
from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.masks.store import pack
from n2nsurgery.surgery.artifact_files import write_artifact
from n2nsurgery.surgery.mask_enforcer import attach
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.proof import leaked
from n2nsurgery.surgery.record import SurgeryRecord


@dataclass(frozen=True, kw_only=True, eq=False)
class PrunedModel:
    """A pruned and grafted network.

    `module`: trainable as any other; the original's state_dict keys plus those of the skips. `masks`: parameter name ->
    boolean tensor, skips included. `plan`: what was decided (`plan.skips`, `plan.budget`, `plan.refused`). `record`:
    what was achieved.
    """

    module: TracedModule
    masks: MaskSet
    plan: SurgeryPlan
    record: SurgeryRecord

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the artifact into `folder`, which appears whole or not at all; returns `folder`.

        Raises UsageError where `folder` exists (with `overwrite`: where it is no artifact), VerificationError where
        training has moved pruned weights, RunError where it cannot be written.
        """
        if leaks := leaked(self.module, self.masks):
            raise VerificationError(
                f"{sum(leaks.values()):,} pruned weights are no longer zero (first in '{next(iter(leaks))}'): the"
                " optimizer moved them; pass it to PrunedModel.enforce before training"
            )
        write_artifact(
            Path(folder),
            documents={"plan": self.plan.to_json(), "record": self.record.to_json()},
            tensors={"model": self.module.state_dict(), "masks": pack(self.masks)},
            overwrite=overwrite,
        )
        return Path(folder)

    def enforce(self, optimizer: Optimizer) -> RemovableHandle:
        """Mask weights and optimizer state after every step of an optimizer that was created before pruning."""
        return attach(self.module, optimizer)
