"""The modules that a recipe names under `plugins`: imported before any other name in it is looked up, where allowed."""

from __future__ import annotations

from n2nsurgery.plugins import import_plugins, imported_plugins
from n2nsurgery.recipe.node import Node
from n2nsurgery.recipe.reading import Problems, read_value


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
