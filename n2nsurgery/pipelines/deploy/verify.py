"""Whether an ONNX file is what it says, and what an artifact says."""

from __future__ import annotations

from pathlib import Path

from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.export.files.load import load_model
from n2nsurgery.export.proof.verify_file import FileVerification, Original, sample_noise, verify_file
from n2nsurgery.pipelines.deploy.sparse_runtime import sparse_runtime
from n2nsurgery.pipelines.saved.load import load
from n2nsurgery.surgery.example_inputs import examples


def run(
    model: Path,
    *,
    against: Path | None = None,
    allow_import: bool = False,
    last: bool = False,
    progress: Progress = SILENT,
) -> FileVerification:
    """Prove the file `model` by itself, and where `against` is given against the artifact or the run in that folder.

    Of a run the best weights are meant, or with `last` its newest.
    `allow_import`: the artifact's model may be a `package.module:factory`, which is run. Raises VerificationError where
    a proof fails, InvalidFileError where the file's metadata is damaged.
    """
    load_model(model, weights=False)  # before a session of ONNX Runtime opens it
    progress("verifying", 0.3)
    if against is None:
        return verify_file(model, sample_noise(model), libraries=sparse_runtime())
    pruned = load(against, allow_import=allow_import, last=last)
    module, masks = pruned.plain()
    original = Original(module=module, masks=masks, fingerprint=pruned.masks.fingerprint)
    batch = examples(pruned.plan.inputs)
    single = [tensor[:1] for tensor in batch]
    return verify_file(model, [single, batch], original=original, libraries=sparse_runtime())
