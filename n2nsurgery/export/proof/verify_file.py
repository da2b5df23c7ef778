"""The proofs of export, for a file that is already there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import InvalidFileError, VerificationError
from n2nsurgery.export.compaction.channel_folding import kept_from_json
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.ort.bench_inputs import sample_feeds
from n2nsurgery.export.ort.providers import session
from n2nsurgery.export.proof.inspect_file import FileInspection, inspect_file
from n2nsurgery.export.proof.parity import (
    ONE_LEVEL_EACH,
    QUANTIZED,
    ROUNDING,
    TOLERANCE,
    file_outputs,
    require_parity,
    tolerance_of,
    torch_outputs,
)
from n2nsurgery.export.proof.report import Parity
from n2nsurgery.export.proof.verify import require_pruned_zero, require_valid
from n2nsurgery.export.sparse.stored_weights import tensors_of


@dataclass(frozen=True, kw_only=True)
class FileVerification:
    """What was proven of a file; `masked` and `unchecked` as in ExportReport, empty without masks."""

    path: Path
    weights: int
    parity: tuple[Parity, ...]
    masked: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document that `verify --json` prints."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Original:
    """What a file is compared with: the network in eval mode, its masks, and their fingerprint."""

    module: nn.Module
    masks: Mapping[str, Tensor]
    fingerprint: str


def sample_noise(path: Path) -> list[list[Tensor]]:
    """Inputs for the file at `path`, one sample and two, or once where the file fixes its batch."""
    return [[torch.from_numpy(array) for array in feed.values()] for feed in sample_feeds(session(path))]


def verify_file(
    path: Path, batches: Sequence[Sequence[Tensor]], *, original: Original | None = None, libraries: Sequence[Path] = ()
) -> FileVerification:
    """Prove the file at `path` with the inputs in `batches`, and return what was proven.

    The file passes ONNX's checker; its tensors hold what its metadata says; with `libraries` it computes what it
    computes without; and where `original` is given, its output, its masks and their fingerprint are that network's.
    Raises VerificationError with the numbers seen, InvalidFileError for damaged metadata.
    """
    require_valid(path)
    found = inspect_file(path)
    if found.disagreements:
        name = found.disagreements[0]
        raise VerificationError(
            f"the tensors of {len(found.disagreements)} weights do not hold what the metadata says, first '{name}': "
            f"{found.recounted[name][0]} non-zeros in {found.recounted[name][1]} bytes"
        )
    masked, unchecked = ((), ()) if original is None else _require_masks(found, original)
    stock = file_outputs(path, batches)
    integers = "activations" in _deployment(found)
    parity: tuple[Parity, ...] = ()
    if libraries:
        parity += require_parity(
            file_outputs(path, batches, libraries), stock, outputs=found.outputs, batches=batches,
            subject="the file in the sparse runtime", reference="the file",
            tolerance=ONE_LEVEL_EACH if integers else TOLERANCE,
        )  # fmt: skip
    if original is None:
        return FileVerification(path=path, weights=len(found.weights), parity=parity)
    rounding = QUANTIZED if integers else ROUNDING[_deployment(found).get("values", "fp32")]
    parity += require_parity(
        stock, torch_outputs(original.module, batches, found.inputs), outputs=found.outputs, batches=batches,
        subject="the file", reference="torch", tolerance=max(rounding, tolerance_of(original.module)),
    )  # fmt: skip
    return FileVerification(
        path=path, weights=len(found.weights), parity=parity, masked=masked, unchecked=unchecked
    )  # fmt: skip


def _require_masks(found: FileInspection, original: Original) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The file's weights are zero where the original's masks say so, and its metadata bears their fingerprint."""
    summary = (found.document or {}).get("summary") or {}
    if found.document is not None and summary.get("mask_fingerprint") != original.fingerprint:
        raise VerificationError(
            f"the file was made with masks {summary.get('mask_fingerprint')}, the artifact holds {original.fingerprint}"
        )
    shapes = {name: tuple(mask.shape) for name, mask in original.masks.items()}
    try:
        kept = kept_from_json((_deployment(found).get("compaction") or {}).get("kept", {}), shapes)
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidFileError(f"the metadata's list of kept channels is damaged ({error})") from error
    return require_pruned_zero(tensors_of(load_model(found.path)), found.weights, original.masks, kept)


def _deployment(found: FileInspection) -> dict[str, Any]:
    deployment = (found.document or {}).get("deployment")
    return deployment if isinstance(deployment, dict) else {}
