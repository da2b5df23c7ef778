"""What TAB offers for a value: models, artifacts, runs, files, recipes, experiments. Nothing here imports torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from n2nsurgery.recipe.shipped import PREFIX, shipped
from n2nsurgery.registries import DATA_SETS, FAMILIES

_MARKERS = ("manifest.json", "run.json")
_KEPT_IN = ("exported", "runs")  # where apply and train write unless they are told otherwise
_REGISTERED = re.compile(r"@register_model\((?:name=\"(\w+)\")?\).*?\ndef (\w+)\(", re.DOTALL)


def models(incomplete: str) -> list[str]:
    """Families and torchvision's models, these also behind the name of their source."""
    prefix = "torchvision:" if incomplete.startswith("torchvision:") else ""
    names = sorted(f"{prefix}{name}" for name in _torchvision())
    return _starting(incomplete, [*FAMILIES.names(), *names])


def networks(incomplete: str) -> list[str]:
    """Models, artifacts, runs and .onnx files."""
    return [*models(incomplete), *artifacts(incomplete), *onnx_files(incomplete)]


def artifacts(incomplete: str) -> list[str]:
    """Folders of artifacts and runs: those in `exported` and `runs`, and those that the text begins to name."""
    patterns = [f"{incomplete}*", *(f"{folder}/*" for folder in _KEPT_IN)]
    found = {
        path for pattern in patterns for path in _paths(pattern) if any((path / name).is_file() for name in _MARKERS)
    }
    return _starting(incomplete, sorted(map(str, found)))


def onnx_files(incomplete: str) -> list[str]:
    """Files whose name ends in .onnx, here and in the folders below."""
    return _files(incomplete, "onnx")


def recipes(incomplete: str) -> list[str]:
    """Files whose name ends in .yaml or .yml, here and in the folders below; and the recipes of the package."""
    own = [f"{PREFIX}{name}" for name in shipped()]
    return [*_files(incomplete, "yaml"), *_files(incomplete, "yml"), *_starting(incomplete, own)]


def data_sets(incomplete: str) -> list[str]:
    """Data sets of the registry."""
    return _starting(incomplete, list(DATA_SETS.names()))


def experiments(incomplete: str) -> list[str]:
    """What `reproduce` knows."""
    files = (file.stem for folder in _folders("n2nsurgery.experiments.targets") for file in folder.glob("[!_]*.py"))
    return _starting(incomplete, sorted(name.replace("_", "-") for name in files))


def _torchvision() -> set[str]:
    """The names that torchvision registers, read from its sources: to import it takes seconds."""
    files = (file for folder in _folders("torchvision") for file in (folder / "models").rglob("*.py"))
    texts = (file.read_text(encoding="utf-8") for file in files)
    return {named or function for text in texts for named, function in _REGISTERED.findall(text)}


def _folders(package: str) -> list[Path]:
    spec = find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec is not None else []


def _files(incomplete: str, suffix: str) -> list[str]:
    patterns = (f"{incomplete}*.{suffix}", f"{incomplete}*/*.{suffix}")
    return _starting(incomplete, sorted({str(path) for pattern in patterns for path in _paths(pattern)}))


def _paths(pattern: str) -> Iterator[Path]:
    """The paths that match, none where the text is not a pattern; without hidden ones and those of other users."""
    absolute = Path(pattern).is_absolute()
    folder, rest = (Path("/"), pattern.lstrip("/")) if absolute else (Path(), pattern)
    try:
        yield from (path for path in folder.glob(rest) if not path.name.startswith("."))
    except (ValueError, OSError):
        return


def _starting(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
