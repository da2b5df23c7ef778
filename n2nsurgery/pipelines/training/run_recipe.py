"""What a run was asked: its recipe, written before training begins and compared before it goes on."""

from __future__ import annotations

import json
from pathlib import Path

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import atomic_file
from n2nsurgery.core.version import __version__
from n2nsurgery.pipelines.saved.run_folder import RECIPE, RUN, SURGERY
from n2nsurgery.recipe.recipe import Recipe, differences
from n2nsurgery.recipe.resolve import read_recipe
from n2nsurgery.surgery.pruned_model import PrunedModel


def recipe_of(run: Path, *, allow_import: bool = False) -> Recipe:
    """The resolved recipe of a run; InvalidFileError where it is missing or damaged, or has plugins nobody allowed."""
    return read_recipe(run / RECIPE, allow_import=allow_import)


def begin(run: Path, recipe: Recipe, pruned: PrunedModel) -> None:
    """Write what stands before training; from then on `run` is a run that can be resumed."""
    write_recipe(run, recipe)
    document = {
        "n2nsurgery": __version__,
        "recipe": recipe.hash,
        "plan": pruned.plan.fingerprint,
        "masks": pruned.masks.fingerprint,
    }
    with atomic_file(run / RUN, overwrite=True) as staging:
        staging.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    pruned.save(run / SURGERY, overwrite=True)


def write_recipe(run: Path, recipe: Recipe) -> None:
    """Write the resolved recipe of a run, in place of one that it had."""
    with atomic_file(run / RECIPE, overwrite=True) as staging:
        staging.write_text(recipe.to_yaml(), encoding="utf-8")


def require_same_recipe(run: Path, asked: Recipe) -> None:
    """Return where the run was begun with a recipe that trains the same; raises UsageError with the differences."""
    if lines := differences(recipe_of(run), asked):
        raise UsageError(
            f"'{run}' was begun with another recipe: {'; '.join(lines)}. Give the same one, train into another folder "
            "with --output, or pass --allow-changes to go on where training permits it"
        )
