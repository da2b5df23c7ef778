"""Artifact: the folder that `PrunedModel.save` wrote, read back and verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.core.sealed_folder import SealedFiles
from n2nsurgery.graph.tracing.trace import Trace
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.masks.store import unpack, with_zeros
from n2nsurgery.surgery.artifact_files import KIND, VALUES, read_artifact, tensor_sets
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.record import SurgeryRecord
from n2nsurgery.surgery.replay import replay


@dataclass(frozen=True, kw_only=True, eq=False)
class Artifact:
    """The verified content of an artifact's folder."""

    folder: Path
    plan: SurgeryPlan
    record: SurgeryRecord
    masks: MaskSet
    state: dict[str, Tensor]


def read(folder: Path) -> Artifact:
    """The artifact in `folder`; InvalidFileError, naming the file, for whatever is missing or wrong."""
    return artifact_of(read_artifact(folder))


def artifact_of(files: SealedFiles) -> Artifact:
    """The artifact that `files` hold; InvalidFileError as for `read`."""
    plan = _plan(files)
    record = SurgeryRecord.from_json(files.document("record"), f"'{files.folder / 'record.json'}'")
    if record.plan == fingerprint(files.document("plan")):  # of the document as it stands, in whatever schema
        record = replace(record, plan=plan.fingerprint)
    shapes = {weight.name: weight.shape for weight in plan.weights}
    shapes |= {f"{skip.name}.weight": skip.weight_shape for skip in plan.skips if skip.weight_shape is not None}
    masks = unpack(files.tensor_set("masks"), shapes)
    state = {**files.tensor_set("model"), **_masked_weights(files, masks)}
    return Artifact(folder=files.folder, plan=plan, record=record, masks=masks, state=state)


def _masked_weights(files: SealedFiles, masks: MaskSet) -> dict[str, Tensor]:
    """The weights that have masks; empty where they are among the others, as versions before 0.2 wrote them."""
    try:
        return with_zeros(files.tensors.get(VALUES, {}), masks)
    except InvalidFileError as error:
        raise InvalidFileError(f"'{files.folder}': {error}") from error


def files_of(artifact: Artifact) -> SealedFiles:
    """The files that `artifact_of` makes this artifact of."""
    return SealedFiles(
        folder=artifact.folder,
        kind=KIND,
        documents={"plan": artifact.plan.to_json(), "record": artifact.record.to_json()},
        tensors=tensor_sets(artifact.state, artifact.masks),
    )


def _plan(files: SealedFiles) -> SurgeryPlan:
    where = f"'{files.folder / 'plan.json'}'"
    try:
        return SurgeryPlan.from_json(files.document("plan"), where)
    except UsageError as error:  # no request can have asked for this
        raise InvalidFileError(f"{where} holds an impossible request: {error}") from error


def revive(artifact: Artifact, dense: Callable[[SurgeryPlan], Trace | nn.Module]) -> PrunedModel:
    """The pruned network of `artifact` on the model that `dense` supplies (see `replay`); errors name the folder."""
    try:
        return replay(dense(artifact.plan), artifact.plan, artifact.record, artifact.masks, artifact.state)
    except InvalidFileError as error:
        raise InvalidFileError(f"'{artifact.folder}': {error}") from error
