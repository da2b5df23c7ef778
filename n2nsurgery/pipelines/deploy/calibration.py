"""CalibrationRequest: the samples that layers with integers take their ranges from, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.config import DataConfig
from n2nsurgery.data.files.npz_file import read_npz
from n2nsurgery.pipelines.saved.run_folder import RECIPE, is_run
from n2nsurgery.recipe.node import Place, from_plain
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.recipe.resolve import read_recipe, resolve_data
from n2nsurgery.surgery.planning.plan import SurgeryPlan

RUN_DATA = "run"
"""The source that stands for the data that a run was trained on."""

SAMPLES = 512
"""How many samples of a data set are read where nothing else is said."""

_AT_ONCE = 8
_FILE = ".npz"

Batch = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CalibrationRequest:
    """Where calibration samples come from, and how many.

    `source`: an .npz file with an array for each input by name, a data set's name, a folder of images, or RUN_DATA. Of
    data sets, `samples` of the training split are read as for evaluation, drawn from the run's seed, or from 0; None:
    SAMPLES of a data set, all of a file. `data_root`: where data sets lie. Raises UsageError for fewer than 1 sample.
    """

    source: str
    samples: int | None = None
    data_root: Path | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"is {self.samples}; it must be at least 1", field="calibration_samples", joint=" ")


def calibration_batches(
    request: CalibrationRequest, folder: Path, plan: SurgeryPlan, *, allow_import: bool = False
) -> Iterator[Batch]:
    """The samples by input, a few at a time, because every tensor of the network is held for them.

    `folder`: of the artifact or run that is exported, by `plan`. Raises UsageError where the data is not known or does
    not fit the network, InvalidFileError for a damaged file.
    """
    path = Path(request.source)
    if path.suffix == _FILE:
        return _of_file(path, request.samples, tuple(spec.name for spec in plan.inputs))
    if path.is_file():
        raise UsageError(f"is the file '{path}'; a file of inputs is an {_FILE} file", field="calibrate", joint=" ")
    return _of_data(request, folder, plan, allow_import=allow_import)


def _of_file(path: Path, most: int | None, names: tuple[str, ...]) -> Iterator[Batch]:
    arrays = read_npz(path, names)
    count = min((len(array) for array in arrays.values()), default=0)
    for first in range(0, min(count, most or count), _AT_ONCE):
        last = min(first + _AT_ONCE, most or count)
        yield {name: array[first:last] for name, array in arrays.items()}


def _of_data(request: CalibrationRequest, folder: Path, plan: SurgeryPlan, *, allow_import: bool) -> Iterator[Batch]:
    recipe = _recipe(folder, allow_import=allow_import)
    data = _data(request, recipe, plan)
    data.require_allowed(allow_import=allow_import)
    seed = recipe.seed if recipe is not None else 0
    split = data.load(download=False, seed=seed).train
    shapes = [tuple(spec.shape[1:]) for spec in plan.inputs]
    if shapes != [split.shape]:
        raise UsageError(
            f"is '{request.source}', whose samples have the shape {split.shape}; the network takes {shapes}",
            field="calibrate", joint=" ",
        )  # fmt: skip
    chosen = torch.randperm(split.size, generator=torch.Generator().manual_seed(seed))[: request.samples or SAMPLES]
    for positions in torch.split(chosen, _AT_ONCE):
        yield {plan.inputs[0].name: split.batch(positions)[0]}


def _recipe(folder: Path, *, allow_import: bool) -> Recipe | None:
    """The recipe of a run; None for an artifact, and for a run that Python began without a recipe."""
    path = folder / RECIPE
    return read_recipe(path, allow_import=allow_import) if is_run(folder) and path.is_file() else None


def _data(request: CalibrationRequest, recipe: Recipe | None, plan: SurgeryPlan) -> DataConfig:
    """The data that is named: the run's own, with its options, or a set or folder with none but the images' size."""
    own: dict[str, Any] = {} if recipe is None or recipe.data is None else recipe.to_json()["data"]
    if request.source == RUN_DATA and not own:
        raise UsageError(
            "is 'run', and what is exported does not say which data it was trained on: name a data set, a folder of"
            f" images or an {_FILE} file", field="calibrate", joint=" ",
        )  # fmt: skip
    if request.source in {RUN_DATA, own.get("name")}:
        wanted = own
    elif Path(request.source).is_dir():
        size = plan.inputs[0].shape[-1]
        wanted = {"name": "imagefolder", "path": str(Path(request.source).resolve()), "size": size}
    else:
        wanted = {"name": request.source}
    if request.data_root is not None:
        wanted = {**wanted, "root": str(request.data_root)}
    return resolve_data(from_plain({"data": wanted}, Place(source="--calibrate")))
