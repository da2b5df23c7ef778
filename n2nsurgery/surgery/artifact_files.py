"""The artifact's files, and where to find the newest.

An artifact is a sealed folder of plan, record, packed masks, the kept values of the weights with masks, and all other
tensors of the model. Pruned weights take one bit each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.sealed_folder import MANIFEST, SealedFiles, check_sealed, read_sealed
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.masks.store import kept_values, pack

KIND = "artifact"
VALUES = "values"
"""The tensors of kept values."""


def tensor_sets(state: Mapping[str, Tensor], masks: MaskSet) -> dict[str, dict[str, Tensor]]:
    """The tensors of an artifact, file by file, from a model's state and its masks."""
    dense, values = kept_values(state, masks)
    return {"model": dense, VALUES: values, "masks": pack(masks)}


def read_artifact(folder: Path) -> SealedFiles:
    """The verified content of the artifact in `folder`; raises InvalidFileError, naming the file."""
    if not folder.is_dir():
        raise InvalidFileError(f"'{folder}' is not a folder; an artifact is the folder that `n2nsurgery apply` wrote")
    return read_sealed(folder, KIND)


def newest_artifact(root: Path) -> Path:
    """The folder below `root` whose artifact was finished last.

    Folders without a valid manifest or with files missing or truncated are passed over, as a killed run may leave
    them. Raises InvalidFileError where none is left, with the reason for each that was passed over.
    """
    reasons: list[str] = []
    manifests = root.glob(f"[!.]*/{MANIFEST}") if root.is_dir() else ()
    for manifest in sorted(manifests, key=lambda path: (path.stat().st_mtime_ns, path.parent.name), reverse=True):
        try:
            check_sealed(manifest.parent, KIND)
        except InvalidFileError as error:
            reasons.append(str(error))
        else:
            return manifest.parent
    detail = "".join(f"\n  passed over: {reason}" for reason in reasons)
    raise InvalidFileError(f"no artifact in '{root}'; make one with `n2nsurgery apply` or name its folder{detail}")
