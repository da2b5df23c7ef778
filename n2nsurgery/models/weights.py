"""Weights from a file or a state dict into a model: tensors only, and every name must match unless told otherwise.

`.safetensors` files hold nothing else. Files of `torch.save` (.pth, .pt, .bin, .ckpt) are read with
`weights_only=True`, which refuses whatever is not a tensor, so that nothing in a file can run code.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.core.names import listed, nearest, select, strip_wrappers
from n2nsurgery.core.outputs import load_state, not_finite
from n2nsurgery.models.sources.source import StateDict

SAFETENSORS = ".safetensors"
TORCH = (".pth", ".pt", ".bin", ".ckpt")
_SHOWN = 5
_LOG = logging.getLogger(__name__)


def is_file(weights: str) -> bool:
    """Whether `weights` names a file, rather than pretrained weights of a source."""
    return weights.endswith((SAFETENSORS, *TORCH)) or Path(weights).is_file()


def read(path: Path, *, key: str | None = None, prefix: str = "") -> tuple[str, StateDict]:
    """The SHA-256 of a file, as a label, and its tensors by name, without the prefixes of DDP and torch.compile.

    `key`: where a training checkpoint keeps the weights, dotted where it is nested ("state_dict", "ema.model").
    `prefix`: of the names that are wanted ("backbone."); it is taken off, and other names are left out. Raises
    UsageError for another kind of file and for a key or prefix that is not there, InvalidFileError where the file is
    missing, damaged, or holds more than tensors.
    """
    if path.suffix not in {SAFETENSORS, *TORCH}:
        raise UsageError(
            f"'{path}' is not a file of weights; {SAFETENSORS} and, of tensors only, {', '.join(TORCH)} can be read"
        )
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidFileError(f"the weights '{path}' cannot be read: {error.strerror or error}") from error
    content = _safetensors(path) if path.suffix == SAFETENSORS else _torch(path)
    state = _state(content, key, path)
    return f"sha256:{digest}", _without_prefix(state, prefix, path)


def load(
    module: nn.Module, state: StateDict, *, origin: str, ignore: Sequence[str] = (), num_classes: int | None = None
) -> None:
    """Copy `state` into `module`; InvalidFileError where a name or a shape differs, or a weight is NaN or infinite.

    `ignore`: patterns of names that may be missing, left over or of another shape, such as the head of a classifier for
    other classes (`fc`); the module keeps its own values there. `num_classes`: so does a head that was made for so many
    classes, where `state` has another number. A tensor that the module uses under two names may be given under one.
    Raises UnknownNameError for a pattern that matches no name.
    """
    own = module.state_dict()
    state = {**state, **_tied(own, state)}
    names = list({**own, **state})
    ignored = {name for pattern in ignore for name in select(pattern, names, kind="weight")}
    head = {name for name in own if name in state and _differs_in_classes(own[name], state[name], num_classes)}
    if head - ignored:
        _LOG.warning("%s start anew, for %s classes in place of the weights' own", listed(sorted(head)), num_classes)
    ignored |= head
    missing, unexpected = sorted(set(own) - set(state) - ignored), sorted(set(state) - set(own) - ignored)
    differing = sorted(name for name in set(own) & set(state) - ignored if own[name].shape != state[name].shape)
    if missing or unexpected or differing:
        raise InvalidFileError(
            f"{origin}: what they hold does not fit the model: {_some('missing', missing)}; "
            f"{_some('unexpected', unexpected)}; {_some('of another shape', differing)}. "
            + _remedy(len(set(own) & set(state)) - len(differing), (differing or missing or unexpected)[0])
        )
    load_state(module, {name: own[name] if name in ignored else state[name] for name in own})
    if broken := not_finite(module):
        raise InvalidFileError(f"{origin}: {broken}. Take weights from before the training diverged")


def _tied(own: StateDict, state: StateDict) -> dict[str, Tensor]:
    """What `state` lacks and the module has under another name, which `state` gives."""
    given = {own[name].data_ptr(): name for name in state if name in own and own[name].numel()}
    missing = {name: given.get(value.data_ptr()) for name, value in own.items() if name not in state}
    return {
        name: state[other]
        for name, other in missing.items()
        if other is not None and own[name].shape == own[other].shape
    }


def _differs_in_classes(own: Tensor, given: Tensor, num_classes: int | None) -> bool:
    """Whether two tensors of one name differ in their outputs alone, of which `own` has `num_classes`."""
    if num_classes is None or not own.dim() or own.dim() != given.dim():
        return False
    return own.shape[0] == num_classes != given.shape[0] and own.shape[1:] == given.shape[1:]


def _safetensors(path: Path) -> Any:  # noqa: ANN401 - a mapping
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InvalidFileError(f"the weights '{path}' cannot be read: {error}") from error


def _torch(path: Path) -> Any:  # noqa: ANN401 - whatever was saved
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InvalidFileError(
            f"the weights '{path}' cannot be read as tensors ({type(error).__name__}): save the state_dict alone with "
            "torch.save(model.state_dict(), path), or convert it to .safetensors"
        ) from error


def _state(content: Any, key: str | None, path: Path) -> dict[str, Tensor]:  # noqa: ANN401
    """The mapping of names to tensors below `key`; raises UsageError that names the keys that there are."""
    value = content
    for part in key.split(".") if key is not None else ():
        if not isinstance(value, Mapping) or part not in value:
            raise UsageError(f"'{path}' has no key '{key}': {_keys(value, part)}")
        value = value[part]
    if isinstance(value, Mapping) and value and all(isinstance(item, Tensor) for item in value.values()):
        return {strip_wrappers(str(name)): item for name, item in value.items()}
    where = f"'{path}'" if key is None else f"'{key}' of '{path}'"
    raise UsageError(
        f"has to say where the tensors are: {where} is not a mapping of names to tensors; {_keys(value)}",
        field="weights_key",
        joint=" ",
    )


def _keys(value: Any, wanted: str = "state_dict") -> str:  # noqa: ANN401
    """What could have been meant, for a message."""
    if not isinstance(value, Mapping):
        return f"there is a {type(value).__name__}"
    names = [str(name) for name in value]
    near = nearest(wanted, names)
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"there are {shown}" + (f"; did you mean '{near}'?" if near else "")


def _without_prefix(state: dict[str, Tensor], prefix: str, path: Path) -> dict[str, Tensor]:
    own = strip_wrappers(prefix)
    found = {name.removeprefix(own): value for name, value in state.items() if name.startswith(own)}
    if not found:
        raise UsageError(f"no weight in '{path}' begins with '{prefix}'; {_keys(state, prefix)}")
    return found


def _remedy(fitting: int, first: str) -> str:
    if not fitting:
        return (
            "Nothing fits: they are of another model, or lie below a key (weights_key, --weights-key) or under"
            " names with a prefix (weights_prefix, --weights-prefix)"
        )
    name = first.rpartition(".")[0] or first
    return f"To keep the model's own values there, ignore them with weights_ignore (--weights-ignore): {name}"


def _some(word: str, names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} {word}" + (f" ({shown})" if names else "")
