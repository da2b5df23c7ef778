"""Masks kept in a loop that Accelerate prepares; needs the extra `accelerate`.

model, optimizer, batches = accelerator.prepare(pruned.module, optimizer, batches)
masks = keep_masks(accelerator, model, optimizer)
accelerator.load_state(folder)  # or nothing, in a new run
...                             # any loop: accumulate, mixed precision, save_state
masks.end()
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from n2nsurgery.adapters.masked_training import MaskedTraining, masks_in, require_same_masks
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.files import write_text
from n2nsurgery.imports import extra

with extra("accelerate", "masks in a loop of Accelerate"):
    from accelerate import Accelerator

MASKS_FILE = "n2nsurgery_masks.json"


def keep_masks(accelerator: Accelerator, model: nn.Module, *optimizers: Optimizer) -> MaskedTraining:
    """Pruned weights of every pruned network in `model` are exactly zero after each step of `optimizers`.

    `model`, `optimizers`: as `accelerator.prepare` gave them. `end()` of what is returned proves the masks and lets go.
    Until then `accelerator.save_state` raises VerificationError where pruned weights or their optimizer state are not
    zero, and `load_state` raises UsageError where the checkpoint belongs to other masks.

    Raises UsageError where `model` has no masks, or no optimizer has its parameters; warns where some are in none.
    """
    training = MaskedTraining(model, optimizers)

    def prove(_models: object, _weights: object, folder: str) -> None:
        training.require_zero()
        if accelerator.is_main_process:
            write_text(Path(folder) / MASKS_FILE, json.dumps({"masks": masks_in(model)}))

    def compare(_models: object, folder: str) -> None:
        file = Path(folder) / MASKS_FILE
        require_same_masks(model, _read(file) if file.is_file() else None)

    training.until_end(
        accelerator.register_save_state_pre_hook(prove), accelerator.register_load_state_pre_hook(compare)
    )
    return training


def _read(file: Path) -> str:
    """The fingerprint in `file`; raises InvalidFileError where it holds none."""
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
        return str(document["masks"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidFileError(f"'{file}' names no masks ({error}); it is written by save_state") from error
