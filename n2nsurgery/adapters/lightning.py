"""A Lightning callback that keeps the masks of a pruned network; needs the extra `lightning`.

class Net(lightning.LightningModule):
def __init__(self, pruned: n2nsurgery.PrunedModel) -> None:
super().__init__()
self.network = pruned.module
...

lightning.Trainer(callbacks=[MaskCallback()]).fit(Net(pruned), batches)
"""

from __future__ import annotations

from typing import Any

from n2nsurgery.adapters.masked_training import MaskedTraining, masks_in, require_same_masks
from n2nsurgery.imports import extra

with extra("lightning", "the Lightning callback"):
    from lightning.pytorch import Callback, LightningModule, Trainer


class MaskCallback(Callback):
    """Pruned weights of every pruned network inside the LightningModule are exactly zero after each optimizer step.

    Holds under mixed precision, gradient accumulation, any optimizer, and resuming: fit raises UsageError where the
    module has no masks, no optimizer has its parameters, or the checkpoint belongs to other masks; VerificationError
    before a checkpoint is written whose pruned weights or optimizer state are not zero.
    """

    def __init__(self) -> None:
        self._training: MaskedTraining | None = None
        self._masks: str | None = None

    def state_dict(self) -> dict[str, Any]:
        """The fingerprint of the masks, which Lightning puts into each checkpoint."""
        return {"masks": self._masks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the masks of the checkpoint that fit resumes from."""
        self._masks = state_dict["masks"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the masks with those of the checkpoint, and attach the optimizers."""
        require_same_masks(pl_module, self._masks)
        self._masks = masks_in(pl_module)
        self._training = MaskedTraining(pl_module, trainer.optimizers)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Prove the masks before anything is written."""
        del trainer, pl_module, checkpoint
        if self._training is not None:
            self._training.require_zero()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prove the masks and let go of the optimizers."""
        del trainer, pl_module
        if self._training is not None:
            self._training.end()
            self._training = None
