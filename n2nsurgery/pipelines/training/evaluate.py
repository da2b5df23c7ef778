"""Loss and metrics of a trained network, of a run or of an artifact, on a split of its data or of other data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.processes.distributed_context import SingleProcess
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.data.config import DataConfig
from n2nsurgery.data.pipeline.splits import DataSplits, Split
from n2nsurgery.data.torch_data.split_batches import split_batches
from n2nsurgery.pipelines.saved.load import revived
from n2nsurgery.pipelines.saved.run_folder import RECIPE, content_of, is_run
from n2nsurgery.pipelines.training.evaluate_request import EvaluationRequest
from n2nsurgery.pipelines.training.fitted import require_fit
from n2nsurgery.pipelines.training.run_recipe import recipe_of
from n2nsurgery.recipe.node import Place, from_plain
from n2nsurgery.recipe.overrides import option_override, overridden, parse_override
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.recipe.resolve import resolve_data
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.device import choose_device
from n2nsurgery.training.loop.components import components_of
from n2nsurgery.training.loop.evaluation import evaluate
from n2nsurgery.training.metrics.record import EvaluationRecord, evaluation_record


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured, on which split of which data of how many classes; `weights`: the folder they came from."""

    folder: Path
    weights: Path
    data: tuple[str, ...]
    classes: int
    scores: EvaluationRecord

    def to_json(self) -> dict[str, Any]:
        """The document that `eval --json` prints; accuracies lie in [0, 1], a loss that is not finite is null."""
        return {
            "evaluated": str(self.folder),
            "weights": str(self.weights),
            "data": list(self.data),
            "classes": self.classes,
            "split": self.scores.split,
            **self.scores.to_json(),
        }


def run(request: EvaluationRequest, progress: Progress = SILENT) -> Evaluation:
    """Evaluate; nothing is written. Raises UsageError where the data is not known or does not fit the network."""
    recipe = _recipe(request)
    wanted = _data(request, recipe)
    wanted.require_allowed(allow_import=request.allow_import)
    device = choose_device(request.device)
    progress(f"loading {request.folder.name}", 0.1)
    content = content_of(request.folder, last=request.last)  # once: a run that is training replaces its checkpoints
    pruned = revived(content, allow_import=request.allow_import)
    progress(f"reading {wanted.name}", 0.3)
    seed = request.seed if request.seed is not None else recipe.seed if recipe is not None else 0
    splits = wanted.load(download=request.download, seed=seed)
    told = recipe.model.num_classes if recipe is not None and recipe.model is not None else None
    require_fit(pruned.plan, pruned.module, splits, num_classes=told)
    split = _split(splits, request.split)
    batches = split_batches(split, request.batch_size, training=False, seed=seed, workers=wanted.workers)
    progress("evaluating", 0.5)
    components = components_of(replace(recipe.train, distillation=None) if recipe is not None else TrainConfig())
    score = evaluate(pruned.module.to(device), batches, components, processes=SingleProcess(device=device))
    return Evaluation(
        folder=request.folder,
        weights=content.folder,
        data=splits.description,
        classes=splits.classes,
        scores=evaluation_record(request.split, score),
    )


def _recipe(request: EvaluationRequest) -> Recipe | None:
    """The recipe of a run; None for an artifact, and for a run that Python began without a recipe."""
    if not is_run(request.folder) or not (request.folder / RECIPE).is_file():
        return None
    return recipe_of(request.folder, allow_import=request.allow_import)


def _data(request: EvaluationRequest, recipe: Recipe | None) -> DataConfig:
    """The data that is named, else the run's own, with the overrides in place."""
    if not request.folder.is_dir():
        raise UsageError(f"there is no folder '{request.folder}'; name that of a run or an artifact")
    if request.data is None and recipe is None:
        raise UsageError(f"'{request.folder}' has no recipe and does not say which data it is for: name it with --data")
    overrides = [parse_override(text) for text in request.overrides]
    if request.data_root is not None:
        overrides.append(option_override("data.root", str(request.data_root), "--data-root"))
    for override in overrides:
        if not override.path.startswith("data."):
            raise UsageError(f"{override.option}: only options of the data can be set here, like --set data.KEY=VALUE")
    if request.data is not None:
        overrides.insert(0, option_override("data.name", request.data, "--data"))
        return resolve_data(overridden(from_plain({}, Place(source="--data")), overrides))
    assert recipe is not None
    known = from_plain({"data": recipe.to_json()["data"]}, Place(source="the run's recipe"))
    return resolve_data(overridden(known, overrides))


def _split(splits: DataSplits, name: str) -> Split:
    split = {"test": splits.test, "validation": splits.validation, "train": splits.train}[name]
    if split is None:
        raise UsageError("the data has no validation split; choose another --split or set data.validation")
    return split
