"""Weights from a file or a state dict into a model: safetensors only, and every name must match."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.models.sources.source import StateDict

SUFFIX = ".safetensors"
_SHOWN = 5


def is_file(weights: str) -> bool:
    """Whether `weights` names a file, rather than pretrained weights of a source."""
    return weights.endswith(SUFFIX) or Path(weights).is_file()


def read(path: Path) -> tuple[str, StateDict]:
    """The SHA-256 of a safetensors file, as a label, and its tensors.

    Raises UsageError for another kind of file, InvalidFileError where it is missing or damaged.
    """
    if path.suffix != SUFFIX:
        raise UsageError(f"{path} is not a {SUFFIX} file; weights are read from that format only, convert it first")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"sha256:{digest}", load_file(path)
    except (OSError, SafetensorError) as error:
        raise InvalidFileError(f"the weights {path} cannot be read: {error}") from error


def load(module: nn.Module, state: StateDict, *, origin: str) -> None:
    """Copy `state` into `module`; InvalidFileError where a name or a shape differs."""
    own = module.state_dict()
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    differing = sorted(name for name in set(own) & set(state) if own[name].shape != state[name].shape)
    if missing or unexpected or differing:
        raise InvalidFileError(
            f"{origin} does not fit the model: {_some('missing', missing)}; {_some('unexpected', unexpected)}; "
            f"{_some('of another shape', differing)}"
        )
    module.load_state_dict(state)


def _some(word: str, names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} {word}" + (f" ({shown})" if names else "")
