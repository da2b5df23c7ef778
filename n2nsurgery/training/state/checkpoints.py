"""The checkpoints of one run: a sealed folder for each, complete or ignored, and never the only good one at risk.

    checkpoints/e00003-b0000000     position: 3 epochs done, 0 batches of the next; names sort by it
    checkpoints/index.json          which is `last`, `best`, and the best few; for readers, rewritten after each save

A checkpoint is staged, flushed and renamed into place before an older one goes. What is there is found by looking, so
a stale index or a folder that a killed run left half-written misleads nobody; opening tidies both up.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.files import clear_staging, remove_folder, write_text
from n2nsurgery.core.sealed_folder import SealedFiles, read_document, read_sealed, write_sealed

_LOG = logging.getLogger(__name__)
_KIND = "checkpoint"
_NAME = re.compile(r"e\d{5,}-b\d{7,}")
_INDEX = "index.json"
STATE = "state"
MASKS = "masks"


class Checkpoints:
    """Those in `folder`; the newest `keep_last` and the `keep_best` with the highest score stay."""

    def __init__(self, folder: Path, *, keep_last: int = 2, keep_best: int = 1) -> None:
        self.folder = folder
        self._keep_last = keep_last
        self._keep_best = keep_best
        self._scores: dict[str, float | None] = {}  # of the valid ones

    def names(self) -> list[str]:
        """Every checkpoint's name, valid or not, oldest first."""
        found = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted((name for name in found if _NAME.fullmatch(name)), key=_position)

    def open(self) -> SealedFiles | None:
        """The newest checkpoint that is whole, None where there is none; called once, while nobody else writes.

        What a killed run left is tidied up: half-written files, checkpoints too many, an index that is out of date.
        Damaged checkpoints are named in a warning and stay until a new one takes their place. Raises InvalidFileError
        where all are damaged: training from the start would not be what was asked for.
        """
        for folder in (self.folder.parent, self.folder):  # metrics and checkpoints
            clear_staging(folder)
        newest: SealedFiles | None = None
        states: dict[str, Any] = {}
        damages: list[str] = []
        for name in reversed(self.names()):
            try:
                if newest is None:
                    newest = read_sealed(self.folder / name, _KIND)
                    states[name] = newest.document(STATE)
                else:
                    states[name] = read_document(self.folder / name, _KIND, STATE)
            except InvalidFileError as error:
                _LOG.warning("checkpoint '%s' is passed over: %s", name, error)
                damages.append(f"\n  {error}")
        if damages and newest is None:
            raise InvalidFileError(
                f"no checkpoint in '{self.folder}' is whole: restore one, or remove the folder to train from the start"
                f"{''.join(damages)}"
            )
        self._scores = {name: state["score"] for name, state in states.items()}
        self._tidy([name for name, state in states.items() if _is_evaluated_elsewhere(state, states)])
        return newest

    def save(
        self,
        position: tuple[int, int],
        *,
        state: Mapping[str, Any],
        tensors: Mapping[str, Mapping[str, Tensor]],
        instead_of: tuple[int, int] | None = None,
    ) -> Path:
        """Write the checkpoint of `position` (epochs done, batches of the next), then let old ones and `instead_of` go.

        `state["score"]`: the higher the better, None for unknown. Raises RunError where it cannot be written; what was
        there stays.
        """
        name = _name(position)
        if name not in self._scores:  # the same position of the same run is the same state
            if (self.folder / name).exists():
                remove_folder(self.folder / name)  # damaged, or it would be known
            write_sealed(self.folder / name, documents={STATE: dict(state)}, tensors=tensors)
            self._scores[name] = state["score"]
            self._tidy([_name(instead_of)] if instead_of is not None else [])
        return self.folder / name

    def clear(self) -> None:
        """Remove all of them, and what a killed run left half-written."""
        if self.folder.is_dir():
            remove_folder(self.folder)
        clear_staging(self.folder.parent)
        self._scores = {}

    @property
    def last(self) -> Path | None:
        """The newest checkpoint, None before the first."""
        return self.folder / max(self._scores, key=_position) if self._scores else None

    @property
    def best(self) -> Path | None:
        """The one with the highest score, the earliest of equals; the newest where nothing was scored."""
        ranked = self._ranked()
        return self.folder / ranked[0] if ranked else self.last

    def _ranked(self) -> list[str]:
        scored = {name: score for name, score in self._scores.items() if score is not None}
        return sorted(scored, key=lambda name: (-scored[name], _position(name)))

    def _tidy(self, superseded: Sequence[str]) -> None:
        """Let go of those that are `superseded` and of old ones, and write the index."""
        for name in self._scores.keys() & set(superseded):
            del self._scores[name]
            remove_folder(self.folder / name)
        if not self._scores:
            return
        recent = sorted(self._scores, key=_position)[-self._keep_last :]
        top = self._ranked()[: self._keep_best]
        for name in set(self._scores) - {*recent, *top}:
            del self._scores[name]
            remove_folder(self.folder / name)
        index = {"last": recent[-1], "best": top[0] if top else recent[-1], "top": top}
        text = json.dumps(index, indent=1) + "\n"
        path = self.folder / _INDEX
        if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
            write_text(path, text)


def _is_evaluated_elsewhere(state: Mapping[str, Any], states: Mapping[str, Any]) -> bool:
    """Whether a checkpoint stands at the end of an epoch, and the one with its evaluation is there."""
    position, batches = state["position"], state["identity"]["batches"]
    return position["batch"] == batches and _name((position["epoch"] + 1, 0)) in states


def _name(position: tuple[int, int]) -> str:
    epochs, batches = position
    return f"e{epochs:05}-b{batches:07}"


def _position(name: str) -> tuple[int, int]:
    epochs, batches = name[1:].split("-b")
    return int(epochs), int(batches)


def trained_weights(folder: Path) -> Mapping[str, Tensor]:
    """The weights to deploy from the checkpoint `folder`: the averaged ones where the run kept an average.

    Keys are those of the model's state_dict. Raises InvalidFileError.
    """
    files = read_sealed(folder, _KIND)
    return files.tensor_set("average" if "average" in files.tensors else "model")


def state_of(folder: Path) -> Any:  # noqa: ANN401 - any JSON value
    """The document of the checkpoint `folder` that `SavedState.from_json` reads. Raises InvalidFileError."""
    return read_document(folder, _KIND, STATE)


def trained_masks(folder: Path) -> Mapping[str, Tensor] | None:
    """The masks of the checkpoint `folder` as `masks.store.pack` gives them; None where they are those of the start.

    Raises InvalidFileError.
    """
    return read_sealed(folder, _KIND).tensors.get(MASKS)


def best_checkpoint(run: Path) -> Path:
    """The best checkpoint of the run in `run`: best on the validation split, the newest where nothing was validated.

    Raises InvalidFileError where there is none that is whole.
    """
    scores: dict[str, float | None] = {}
    store = Checkpoints(run / "checkpoints")
    for name in store.names():
        try:
            scores[name] = read_document(store.folder / name, _KIND, STATE)["score"]
        except InvalidFileError as error:
            _LOG.warning("checkpoint '%s' is passed over: %s", name, error)
    if not scores:
        raise InvalidFileError(f"'{run}' holds no checkpoint that is whole")
    ranked = {name: score for name, score in scores.items() if score is not None}
    return store.folder / (max(ranked, key=lambda name: ranked[name]) if ranked else list(scores)[-1])
