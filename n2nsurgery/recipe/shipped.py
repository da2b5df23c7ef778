"""The recipes that come with the package, by name: `recipe:cifar10-small`."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from n2nsurgery.core.names import unknown

PREFIX = "recipe:"
_INSTALLED = Path(__file__).with_name("shipped")  # where the wheel has them
_CLONE = Path(__file__).parents[2] / "recipes"


def recipe_file(named: str | Path) -> Path:
    """The file of the recipe that `recipe:NAME` names; any other path as it is. Raises UnknownNameError."""
    text = str(named)
    if not text.startswith(PREFIX):
        return Path(named)
    files = shipped()
    name = text.removeprefix(PREFIX)
    if name not in files:
        raise unknown("recipe", name, list(files))
    return files[name]


def shipped() -> dict[str, Path]:
    """The files of all recipes that come with the package, by name and sorted by it."""
    folder = _INSTALLED if _INSTALLED.is_dir() else _CLONE
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def about(recipe: Path) -> str:
    """What a recipe says of itself: the first sentence of the comment at its head, "" where it has none."""
    lines = recipe.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
    return comment.partition(". ")[0].rstrip(".")
