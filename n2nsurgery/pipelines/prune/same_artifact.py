"""Whether a folder holds already what a request would write, so that the same command twice is not an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.core.sealed_folder import MANIFEST
from n2nsurgery.masks.criterion import Criterion
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.registries import names_foreign
from n2nsurgery.surgery.artifact import Artifact, read
from n2nsurgery.surgery.artifact_files import tensor_sets
from n2nsurgery.surgery.planning.foreign import foreign_members
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.record import versions_in_use


def artifact_of_plan(folder: Path, plan: SurgeryPlan) -> Artifact | None:
    """The artifact in `folder` where it was made of an equal plan by equal versions, else None.

    An artifact that is damaged is none.
    """
    if not (folder / MANIFEST).is_file():
        return None
    try:
        artifact = read(folder)
    except InvalidFileError:
        return None
    same = artifact.plan.fingerprint == plan.fingerprint
    return artifact if same and artifact.record.versions == (*versions_in_use(), *foreign_members(plan)) else None


def plan_decides(plan: SurgeryPlan, request: ApplyRequest, bundle: ModelBundle, criterion: Criterion) -> bool:
    """Whether equal plans and versions mean equal artifacts, so that nothing has to be carried out to know it.

    Not part of a plan are the code of a user's model or plugin, what was taken from a file or folder of weights, and
    sums in another order on a GPU.
    """
    own_model = bundle.spec is None or bundle.spec.source in {"factory", "hf"}
    own_parts = names_foreign({**plan.to_json()["config"], "model": bundle.spec and bundle.spec.name})
    from_file = request.weights is not None and Path(request.weights).exists()
    on_gpu = criterion.needs in {"inputs", "batches"} and request.device != "cpu" and torch.cuda.is_available()
    return not (own_model or own_parts or from_file or on_gpu)


def save_or_find(pruned: PrunedModel, folder: Path, *, overwrite: bool) -> Artifact | None:
    """Save `pruned` in `folder`; the artifact that is there already, where it has equal content.

    Raises UsageError where it has other content, RunError where the folder cannot be written.
    """
    try:
        pruned.save(folder, overwrite=overwrite)
    except UsageError as error:
        found = artifact_of_plan(folder, pruned.plan)
        if found is None:
            raise
        if different := _differences(found, pruned):
            raise UsageError(
                f"'{folder}' already exists, with an equal plan and other {' and '.join(different)}: the model, a"
                " plugin or a file of weights has changed since, or a GPU has added up scores in another order; choose"
                " another output, or pass --overwrite"
            ) from error
        return found
    return None


def _differences(artifact: Artifact, pruned: PrunedModel) -> list[str]:
    """What of an artifact of the same plan is not as `pruned` would be saved; weights are compared bit by bit."""
    there = tensor_sets(artifact.state, artifact.masks)
    here = tensor_sets(pruned.module.state_dict(), pruned.masks)
    masks, weights = artifact.masks.fingerprint != pruned.masks.fingerprint, ("model", "values")
    found = {
        "masks": masks,
        "weights": not masks and any(_other_bits(there[name], here[name]) for name in weights),
        "records": not masks and artifact.record != pruned.record,
    }
    return [name for name, differs in found.items() if differs]


def _other_bits(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() != other.keys() or any(
        tensor.dtype != other[name].dtype
        or tensor.shape != other[name].shape
        or not torch.equal(_bytes(tensor), _bytes(other[name]))
        for name, tensor in one.items()
    )


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
