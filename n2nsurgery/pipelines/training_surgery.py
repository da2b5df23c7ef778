"""The operation before training: planned from a recipe, carried out once, read from the run's folder ever after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.batch import Batch
from n2nsurgery.data.loader import Loader
from n2nsurgery.data.splits import DataSplits
from n2nsurgery.models.request import ModelRequest
from n2nsurgery.pipelines.apply import Operation, Report
from n2nsurgery.pipelines.fitted import fitted_patient, require_fit, require_samples, shapes_of
from n2nsurgery.pipelines.load import load
from n2nsurgery.pipelines.run_folder import content_of
from n2nsurgery.pipelines.surgery_config import surgery_config
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.surgery.config import SurgeryConfig
from n2nsurgery.surgery.operated import Operated
from n2nsurgery.surgery.plan import SurgeryPlan
from n2nsurgery.surgery.planner import criterion_of
from n2nsurgery.surgery.request import ArtifactRequest, SurgeryRequest
from n2nsurgery.surgery.summary import model_name


@dataclass(frozen=True, kw_only=True, eq=False)
class Planned:
    """What will be done; `carry_out` takes the device to score on, and may be called once."""

    plan: SurgeryPlan
    carry_out: Callable[[str], Operated]


def planned_surgery(  # noqa: PLR0913 - what the command line permits
    recipe: Recipe,
    splits: DataSplits,
    *,
    report: Report,
    download: bool = False,
    allow_import: bool = False,
    done: Path | None = None,
) -> Planned:
    """The operation that `recipe` asks for on a model that fits `splits`.

    Without a surgery section every weight is kept and nothing is grafted. `done`: the artifact of this operation,
    where it was carried out before. Raises UsageError where model and data do not agree, and the errors of `apply` and
    `load`.
    """
    folder = done
    module = None
    if done is None and isinstance(recipe.surgery, ArtifactRequest):
        folder = recipe.surgery.artifact
        if recipe.model is not None:  # the artifact has to be one of that model
            patient = fitted_patient(
                recipe.model, splits, seed=recipe.seed, download=download, allow_import=allow_import
            )
            module = patient.module
    if folder is not None:
        operated = _given(folder, recipe.model, splits, module, allow_import=allow_import)
        return Planned(plan=operated.plan, carry_out=lambda _device: operated)
    assert recipe.model is not None  # the recipe has been resolved
    report(f"building {recipe.model.name}", 0.05)
    patient = fitted_patient(recipe.model, splits, seed=recipe.seed, download=download, allow_import=allow_import)
    request = recipe.surgery
    assert not isinstance(request, ArtifactRequest)
    config = surgery_config(request, recipe.seed) if request is not None else _dense(recipe.seed)
    operation = Operation(patient, config, report)
    if request is not None and request.select is not None:
        operation.choose_draw(request.tries)

    def carry_out(device: str) -> Operated:
        batches = _scoring_batches(recipe, request, splits) if request is not None else None
        return operation.carry_out(batches, device=device if batches else None)

    return Planned(plan=operation.plan, carry_out=carry_out)


def _dense(seed: int) -> SurgeryConfig:
    return SurgeryConfig(density=1.0, skip="none", seed=seed)


def _given(
    folder: Path, asked: ModelRequest | None, splits: DataSplits, module: nn.Module | None, *, allow_import: bool
) -> Operated:
    """The network of the artifact in `folder`, on the dense `module` where there is one."""
    plan = content_of(folder).plan
    require_samples(model_name(plan), shapes_of(plan), splits)
    if plan.model is None:
        raise UsageError(
            f"'{folder}' was made from a {plan.model_class} object, which no run can build again: "
            "operate on a model with a name"
        )
    operated = load(folder, module, allow_import=allow_import)
    require_fit(plan, operated.module, splits, told=asked.num_classes if asked is not None else None)
    return operated


def _scoring_batches(recipe: Recipe, request: SurgeryRequest, splits: DataSplits) -> list[Batch] | None:
    """The first batches of training data, where the criterion looks at data; they depend on the seed alone."""
    if criterion_of(surgery_config(request, recipe.seed)).needs not in {"inputs", "batches"}:
        return None
    loader = Loader(
        splits.train, request.batch_size, shuffle=True, seed=recipe.seed, augment=True, drop_last=True,
        limit=request.batches,
    )  # fmt: skip
    if len(loader) < request.batches:
        raise UsageError(
            f"surgery.batches is {request.batches}, but the training split has {len(loader)} batches of "
            f"{request.batch_size}: take fewer or smaller ones"
        )
    origin = f"{recipe.data.name}(train,seed={recipe.seed},batch_size={request.batch_size},count={request.batches})"
    return [Batch(inputs=(inputs,), targets=targets, origin=origin) for inputs, targets in loader.epoch(0)]
