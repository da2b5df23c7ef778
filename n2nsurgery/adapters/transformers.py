"""A callback for Hugging Face's Trainer that keeps the masks of a pruned network; needs the extra `transformers`.

    trainer = transformers.Trainer(model, arguments, train_dataset=..., callbacks=[MaskCallback()])

`model` is a pruned module or any module that holds one, such as one that adds the loss.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from n2nsurgery.adapters.masked_training import MaskedTraining, masks_in, require_same_masks
from n2nsurgery.imports import extra

with extra("transformers", "the callback for transformers.Trainer"):
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_callback import ExportableState


class MaskCallback(TrainerCallback, ExportableState):
    """Pruned weights of every pruned network inside the model are exactly zero after each optimizer step.

    Holds under mixed precision, gradient accumulation, any optimizer, and resuming: train raises UsageError where the
    model has no masks, the optimizer has none of its parameters, or the checkpoint belongs to other masks;
    VerificationError before a checkpoint is written whose pruned weights or optimizer state are not zero.
    """

    def __init__(self) -> None:
        self._training: MaskedTraining | None = None
        self.masks: str | None = None

    def state(self) -> dict[str, Any]:
        """The fingerprint of the masks, which Trainer puts into trainer_state.json."""
        return {"args": {}, "attributes": {"masks": self.masks}}

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        optimizer: Optimizer,
        **_: Any,  # noqa: ANN401 - Trainer hands over all of its parts
    ) -> None:
        """Compare the masks with those of the checkpoint, and attach the optimizer."""
        del args, control
        saved = (state.stateful_callbacks or {}).get(type(self).__name__, self.state())
        require_same_masks(model, saved["attributes"]["masks"])
        self.masks = masks_in(model)
        self._training = MaskedTraining(model, [optimizer])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401
        """Prove the masks before a checkpoint is written."""
        del args, state
        if control.should_save and self._training is not None:
            self._training.require_zero()

    on_epoch_end = on_step_end

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401
        """Prove the masks and let go of the optimizer."""
        del args, state, control
        if self._training is not None:
            self._training.end()
            self._training = None
