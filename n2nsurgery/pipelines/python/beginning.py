"""How a run of a caller's own model is begun: whether it may be, and what stands in its folder before training."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import write_text
from n2nsurgery.core.version import __version__
from n2nsurgery.pipelines.saved.run_folder import RUN, SURGERY, is_run
from n2nsurgery.pipelines.training.run_recipe import clear_run
from n2nsurgery.surgery.proof import require_masked
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.training.loop.run import Undo


def require_admission(folder: Path, model: PrunedModel | nn.Module, *, resume: bool, overwrite: bool) -> None:
    """Return where `model` may be trained in `folder`; raises UsageError, and VerificationError as `model.save`."""
    if overwrite and resume:
        raise UsageError("`resume` goes on with a run and `overwrite` replaces it: leave one of the two out")
    if not isinstance(model, PrunedModel) or resume:
        return
    if is_run(folder) and not overwrite:
        raise UsageError(
            f"'{folder}' is a run already; go on with it by resume=True, replace it by overwrite=True, or choose "
            "another folder"
        )
    require_masked(model.module, model.masks)


def begin(folder: Path, model: PrunedModel | nn.Module, *, overwrite: bool) -> Undo | None:
    """Make `folder` a run that `load` reads: the artifact of the pruning, and what marks a run. Returns how to undo it.

    That of another module gets checkpoints and metrics alone; whatever else is in a folder of a caller's own stays.
    """
    if overwrite and is_run(folder):
        clear_run(folder)
    if not isinstance(model, PrunedModel) or is_run(folder):
        return None
    model.save(folder / SURGERY, overwrite=True)
    document = {
        "n2nsurgery": __version__,
        "recipe": None,
        "plan": model.plan.fingerprint,
        "masks": model.masks.fingerprint,
    }
    write_text(folder / RUN, json.dumps(document, indent=1) + "\n")
    return partial(clear_run, folder)
