"""A run's folder: what was asked, what surgery made, and the checkpoints that training left.

    recipe.yaml     the resolved recipe
    run.json        its hash, and the fingerprints of plan and masks; written when surgery is done
    surgery/        the artifact before training: plan, record, masks, initial weights
    checkpoints/    of training; with surgery/, each of them is an artifact of trained weights
    metrics.jsonl   one line for each epoch; the same in metrics.csv
    model.onnx      where the recipe has an export section
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.core.files import atomic_file
from n2nsurgery.core.sealed_folder import check_sealed
from n2nsurgery.core.version import __version__
from n2nsurgery.recipe.recipe import Recipe, differences
from n2nsurgery.recipe.resolve import read_recipe
from n2nsurgery.surgery.artifact import Artifact, read
from n2nsurgery.surgery.artifact_files import newest_artifact
from n2nsurgery.surgery.operated import Operated
from n2nsurgery.train.checkpoints import Checkpoints, best_checkpoint, trained_weights

RUNS = Path("runs")
ARTIFACTS = Path("exported")
RECIPE = "recipe.yaml"
RUN = "run.json"
SURGERY = "surgery"
MODEL = "model.onnx"
_CHECKPOINTS = "checkpoints"


def is_run(folder: Path) -> bool:
    """Whether `folder` is that of a run."""
    return (folder / RUN).is_file()


def recipe_of(run: Path) -> Recipe:
    """The resolved recipe of a run; InvalidFileError where it is missing or damaged."""
    return read_recipe(run / RECIPE)


def begin(run: Path, recipe: Recipe, operated: Operated) -> None:
    """Write what stands before training; `run` is a run from the moment when everything is there."""
    if not (run / SURGERY).exists():
        operated.save(run / SURGERY)
    with atomic_file(run / RECIPE, overwrite=True) as staging:
        staging.write_text(recipe.to_yaml(), encoding="utf-8")
    document = {
        "n2nsurgery": __version__,
        "recipe": recipe.hash,
        "plan": operated.plan.fingerprint,
        "masks": operated.masks.fingerprint,
    }
    with atomic_file(run / RUN, overwrite=True) as staging:
        staging.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def require_same_recipe(run: Path, asked: Recipe) -> None:
    """Return where the run was begun with a recipe that computes the same; raises UsageError with the differences."""
    if lines := differences(recipe_of(run), asked):
        raise UsageError(
            f"'{run}' was begun with another recipe: {'; '.join(lines)}. Give the same one, train into another folder "
            "with --output, or pass --allow-changes to go on where training permits it"
        )


def content_of(folder: Path, *, last: bool = False) -> Artifact:
    """The artifact in `folder`; of a run the one with its best weights, or with `last` its newest.

    Raises InvalidFileError, naming the file, for whatever is missing or wrong.
    """
    if not is_run(folder):
        return read(folder)
    checkpoint = newest_checkpoint(folder) if last else best_checkpoint(folder)
    return replace(read(folder / SURGERY), folder=checkpoint, state=dict(trained_weights(checkpoint)))


def newest_checkpoint(run: Path) -> Path:
    """The newest checkpoint of a run that is whole; InvalidFileError where there is none."""
    store = Checkpoints(run / _CHECKPOINTS)
    reasons: list[str] = []
    for name in reversed(store.names()):
        try:
            check_sealed(store.folder / name, "checkpoint")
        except InvalidFileError as error:
            reasons.append(f"\n  passed over: {error}")
        else:
            return store.folder / name
    raise InvalidFileError(f"'{run}' holds no checkpoint that is whole{''.join(reasons)}")


def newest_result() -> Path:
    """The artifact in `exported/` or the run in `runs/` that was written to last; InvalidFileError where none is."""
    found: list[tuple[int, Path]] = []
    for run in RUNS.glob(f"[!.]*/{RUN}"):
        stamps = [path.stat().st_mtime_ns for path in (run.parent / _CHECKPOINTS).glob("e*/manifest.json")]
        found += [(max(stamps), run.parent)] if stamps else []
    try:
        artifact = newest_artifact(ARTIFACTS)
    except InvalidFileError:
        if not found:
            raise
    else:
        found.append(((artifact / "manifest.json").stat().st_mtime_ns, artifact))
    return max(found)[1]


def described(run: Path) -> dict[str, Any]:
    """What `run.json` holds; InvalidFileError where it is no JSON object."""
    try:
        document = json.loads((run / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidFileError(f"'{run / RUN}' cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise InvalidFileError(f"'{run / RUN}' is not the document of a run")
    return document
