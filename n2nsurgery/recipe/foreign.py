"""What of a recipe is a user's own: modules under `plugins`, members of registries, and files.

The modules are imported before any other name in the recipe is looked up, where that is allowed.
"""

from __future__ import annotations

from pathlib import Path

from n2nsurgery.plugins import import_plugins, imported_plugins
from n2nsurgery.recipe.node import Node
from n2nsurgery.recipe.reading import Problems, read_value
from n2nsurgery.recipe.recipe import ArtifactRequest, Recipe
from n2nsurgery.registries import names_foreign


def plugins_of(node: Node, problems: Problems) -> tuple[str, ...]:
    """The names of modules in the section `plugins`; BrokenError after noting what else stands there."""
    names: tuple[str, ...] = read_value(tuple[str, ...], node, "plugins", problems)
    return names


def import_named(root: Node, *, allow_import: bool) -> None:
    """Import what the document `root` names under `plugins`, unless this process has done so.

    Raises InvalidFileError with the place where that runs code and nobody allowed it, or where it fails; UsageError
    where the names are from the command line.
    """
    node = (root.members or {}).get("plugins")
    if node is None or node.content is None:
        return
    problems = Problems()
    with problems.collected():
        missing = [name for name in plugins_of(node, problems) if name not in imported_plugins()]
        if missing and not allow_import:
            problems.note(
                node.place,
                f"plugins: importing {', '.join(missing)} runs code; allow it with --allow-import, or name each module "
                "yourself with --plugin",
            )
        else:
            problems.made(lambda: import_plugins(missing), node, "plugins")
    problems.raise_any()


def has_own_parts(recipe: Recipe) -> bool:
    """Whether code or a file of a user's own is part of what is trained: it may change, and the recipe does not."""
    return bool(recipe.plugins) or _reads_files(recipe) or names_foreign(recipe.trained())


def _reads_files(recipe: Recipe) -> bool:
    """Whether an artifact, weights, images or arrays are read; of data sets, those with a `path` are a user's own."""
    model, distillation = recipe.model, recipe.train.distillation
    if model is None or isinstance(recipe.surgery, ArtifactRequest) or "path" in recipe.data.own_options:
        return True
    named = [model.name, model.weights]
    if distillation is not None:
        named += [distillation.teacher, distillation.weights]
    return any(name is not None and (name.startswith("hf:") or Path(name).exists()) for name in named)
