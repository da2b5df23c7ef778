"""What a run was asked, whether a folder may become one, and how it is begun: a run can be killed at any moment of it.

nothing but hidden files        a new folder, or a run that was killed before it wrote anything
run.json, neither surgery/ nor checkpoints/      a run that was killed while it began: it is begun again
run.json and surgery/           a run: it goes on
anything else                   somebody else's folder
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.core.files import clear_staging, remove_folder, write_text
from n2nsurgery.core.version import __version__
from n2nsurgery.pipelines.saved.run_folder import (
    MODEL,
    RECIPE,
    REPORT,
    RUN,
    RUNS,
    SURGERY,
    is_run,
    newest_checkpoint,
)
from n2nsurgery.pipelines.training.train_request import AUTO, TrainRequest
from n2nsurgery.recipe.foreign import has_own_parts
from n2nsurgery.recipe.overrides import option_override, parse_override
from n2nsurgery.recipe.recipe import Recipe, differences
from n2nsurgery.recipe.resolve import read_recipe
from n2nsurgery.surgery.artifact import read
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.record import versions_in_use
from n2nsurgery.training.loop.run import CHECKPOINTS
from n2nsurgery.training.metrics.metrics import CSV, JSONL, TENSORBOARD
from n2nsurgery.training.state.checkpoints import state_of
from n2nsurgery.training.state.saved_state import SavedState

_CONTENT = (CHECKPOINTS, SURGERY, JSONL, CSV, TENSORBOARD, RECIPE, REPORT, MODEL, f"{MODEL}.data", RUN)
"""What a run writes into its folder, in the order in which it is removed."""


def resolved(request: TrainRequest) -> Recipe:
    """The recipe that a request asks for, with its overrides; errors as for `read_recipe`."""
    overrides = [parse_override(text) for text in request.overrides]
    if request.device is not None:
        overrides.append(option_override("train.device", request.device, "--device"))
    if request.data_root is not None:
        overrides.append(option_override("data.root", str(request.data_root), "--data-root"))
    if request.timeout is not None:
        timeout = parse_override(f"train.distributed_timeout={request.timeout}")
        overrides.append(replace(timeout, option=f"--timeout {request.timeout}"))
    recipe = read_recipe(request.recipe, overrides, allow_import=request.allow_import)
    recipe.data.require_allowed(allow_import=request.allow_import)
    return recipe


def recipe_of(run: Path, *, allow_import: bool = False) -> Recipe:
    """The resolved recipe of a run; InvalidFileError where it is missing or damaged, or has plugins nobody allowed."""
    return read_recipe(run / RECIPE, allow_import=allow_import)


def write_recipe(run: Path, recipe: Recipe) -> None:
    """Write the resolved recipe of a run, in place of one that it had."""
    write_text(run / RECIPE, recipe.to_yaml())


def require_same_recipe(run: Path, asked: Recipe, *, allow_changes: bool = False) -> None:
    """Return where the run was begun with a recipe that trains the same, or with leave for other training.

    Raises UsageError with the differences, in words.
    """
    lines = differences(recipe_of(run), asked)
    if others := [line for line in lines if not line.startswith("train.")]:
        raise UsageError(
            f"'{run}' was begun with another model, data set, surgery or seed: {'; '.join(others)}. That is another "
            "run: train it into another folder with --output"
        )
    if lines and not allow_changes:
        raise UsageError(
            f"'{run}' was begun with another recipe: {'; '.join(lines)}. Give the same one, train into another folder "
            "with --output, or pass --allow-changes to go on where training permits it"
        )


def folder_of(request: TrainRequest, recipe: Recipe) -> Path:
    """Where the run lies that `request` asks for."""
    if request.resume not in {None, AUTO}:
        return Path(str(request.resume))
    return request.output or RUNS / f"{request.recipe.stem}-{recipe.hash[:8]}"


def is_finished(request: TrainRequest, recipe: Recipe) -> bool:
    """Whether a new run is asked for that is there already, trained to its last epoch by the versions in use.

    That is never said of a run with code or files of a user's own, which may have changed since.
    """
    folder = folder_of(request, recipe)
    goes_on = request.resume is not None or request.overwrite or request.dry_run
    if goes_on or request.allow_import or not is_begun(folder) or has_own_parts(recipe):
        return False
    try:
        done = SavedState.from_json(state_of(checkpoint := newest_checkpoint(folder)), f"'{checkpoint}'")
        trained = done.position.epoch >= recipe.train.epochs and not differences(recipe_of(folder), recipe)
        return trained and read(folder / SURGERY).record.versions == versions_in_use()
    except InvalidFileError:
        return False


def is_begun(folder: Path) -> bool:
    """Whether the run in `folder` has everything that stands before training."""
    return is_run(folder) and (folder / SURGERY).is_dir()


def require_admission(folder: Path, recipe: Recipe, request: TrainRequest) -> None:
    """Return where `recipe` may be begun in `folder`, or gone on with, as `request` asks.

    Raises UsageError, and InvalidFileError for a run that lacks what was done before its checkpoints.
    """
    if not is_run(folder):
        if strange := _visible(folder):
            raise UsageError(
                f"'{folder}' is not the folder of a run: it holds '{strange[0]}' and no {RUN}; choose another --output"
            )
        if request.resume not in {None, AUTO} and not folder.is_dir():
            raise UsageError(f"'{folder}' is not the folder of a run (it has no {RUN}), so it cannot be resumed")
    elif request.resume is not None:
        if is_begun(folder):
            require_same_recipe(folder, recipe, allow_changes=request.allow_changes)
        elif (folder / CHECKPOINTS).is_dir():
            raise InvalidFileError(
                f"'{folder}' has checkpoints and no {SURGERY}, which they belong to: restore it, or --overwrite the run"
            )
    elif not request.overwrite:
        raise UsageError(
            f"'{folder}' is a run already; go on with it by --resume, replace it by --overwrite, or choose another "
            "--output"
        )


def begin(folder: Path, recipe: Recipe, pruned: PrunedModel) -> None:
    """Write what stands before training, in place of whatever run was there.

    run.json comes first and goes last: at any moment in between the folder is one that `require_admission` knows.
    """
    clear_run(folder)
    document = {
        "n2nsurgery": __version__,
        "recipe": recipe.hash,
        "plan": pruned.plan.fingerprint,
        "masks": pruned.masks.fingerprint,
    }
    write_text(folder / RUN, json.dumps(document, indent=1) + "\n")
    write_recipe(folder, recipe)
    pruned.save(folder / SURGERY)


def _visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def clear_run(folder: Path) -> None:
    """Remove a former run: its checkpoints first, for they mean nothing without the rest.

    Whatever else is in `folder` stays.
    """
    clear_staging(folder)
    for path in (folder / name for name in _CONTENT):
        if path.is_dir() and not path.is_symlink():
            remove_folder(path)
        else:
            path.unlink(missing_ok=True)
