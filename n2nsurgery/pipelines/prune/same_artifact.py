"""Whether a folder holds already what a request would write, so that the same command twice is not an error."""

from __future__ import annotations

from pathlib import Path

import torch

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.core.sealed_folder import MANIFEST
from n2nsurgery.masks.criterion import Criterion
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.surgery.artifact import Artifact, read
from n2nsurgery.surgery.planning.foreign import foreign_members
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.record import versions_in_use


def same_artifact(
    folder: Path, plan: SurgeryPlan, request: ApplyRequest, bundle: ModelBundle, criterion: Criterion
) -> Artifact | None:
    """The artifact in `folder` where carrying out `request` would write the same content again, else None.

    That is so for an equal plan and equal versions, where the plan decides everything: a factory's code, a file of
    weights, and sums in another order on a GPU are not part of it. An artifact that is damaged is none.
    """
    own_code = bundle.spec is None or bundle.spec.source == "factory"
    from_file = request.weights is not None and Path(request.weights).exists()
    scored = criterion.needs in {"inputs", "batches"} and request.device != "cpu" and torch.cuda.is_available()
    if own_code or from_file or scored or not (folder / MANIFEST).is_file():
        return None
    try:
        artifact = read(folder)
    except InvalidFileError:
        return None
    same = artifact.plan.fingerprint == plan.fingerprint
    return artifact if same and artifact.record.versions == (*versions_in_use(), *foreign_members(plan)) else None


def save_or_find(
    pruned: PrunedModel, folder: Path, request: ApplyRequest, bundle: ModelBundle, criterion: Criterion
) -> Artifact | None:
    """Save `pruned` in `folder`; the artifact that another process wrote there meanwhile, where it has equal content.

    Raises UsageError where it has other content, RunError where the folder cannot be written.
    """
    try:
        pruned.save(folder, overwrite=request.overwrite)
    except UsageError:
        found = same_artifact(folder, pruned.plan, request, bundle, criterion)
        if found is None:
            raise
        return found
    return None
